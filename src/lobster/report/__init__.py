"""What a run leaves behind for people to look at: a page, a table, curves and pictures of molecules."""

from lobster.report.comparison import Samples, check_drawing, comparison_table, score_samples, write_report
from lobster.report.html import Report, can_write_html_report, write_html_report
from lobster.report.live_view import LiveView, live_view

__all__ = [
    "LiveView",
    "Report",
    "Samples",
    "can_write_html_report",
    "check_drawing",
    "comparison_table",
    "live_view",
    "score_samples",
    "write_html_report",
    "write_report",
]
