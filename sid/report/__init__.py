"""Figures, the verdict and the page."""

from sid.errors import require

require("report", "jinja2", "markupsafe", "plotly")
