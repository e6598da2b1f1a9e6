"""What a run leaves behind for people to look at: a table, a curve and a picture of molecules."""

from lobster.report.comparison import Samples, check_drawing, comparison_table, score_samples, write_report
from lobster.report.progress import ProgressLine

__all__ = ["ProgressLine", "Samples", "check_drawing", "comparison_table", "score_samples", "write_report"]
