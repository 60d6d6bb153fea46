"""The console: one page of plain HTML, CSS and JavaScript modules, and how it is served."""
