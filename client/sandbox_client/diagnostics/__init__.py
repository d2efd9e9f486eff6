"""An examination of all that lies between this machine and the sandboxes.

It never fails to answer: whatever goes wrong is a finding. A check that cannot be made since
another one failed says which.
"""

from .finding import Finding, findings_content, is_well, summary, told
from .run import run_checks

__all__ = ["Finding", "findings_content", "is_well", "run_checks", "summary", "told"]
