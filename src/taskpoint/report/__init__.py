"""What people see: figures, pages, tables."""
