// Runs before the first paint, so that a stored choice of light or dark does not flash.
try {
  const stored = localStorage.getItem("taskpoint-theme");
  if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
} catch { /* storage may be forbidden; the system's preference holds then */ }
