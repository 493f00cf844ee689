"""Pictures of records; nothing here ever sees a model.

Every function takes a record (an `Explanation`, a `Measurement`) and gives a `Picture`, which shows itself in a
notebook, saves itself as `.svg` or `.png`, and carries the numbers it draws as a table.
"""

from pellucid.plot.attended import attention_map
from pellucid.plot.attention import attention_grid
from pellucid.plot.attributions import attribution
from pellucid.plot.curves import reliability, risk_coverage
from pellucid.plot.degradation import robustness
from pellucid.plot.estimates import intervals, strip
from pellucid.plot.faith import faithfulness
from pellucid.plot.ledger import ledger
from pellucid.plot.lines import attention_lines
from pellucid.plot.ranking import Importance, importance, summarise
from pellucid.plot.scene import Picture, Table

__all__ = [
    "Importance", "Picture", "Table", "attention_grid", "attention_lines", "attention_map", "attribution", "faithfulness",
    "importance", "intervals", "ledger", "reliability", "risk_coverage", "robustness", "strip", "summarise",
]  # fmt: skip
