"""Checks: each turns what was gathered about a model into findings, or says why it does not apply."""

from pellucid.report.checks.attention import attention
from pellucid.report.checks.calibration import calibration, sets
from pellucid.report.checks.data import labels, memory
from pellucid.report.checks.explanation import concentration, exactness
from pellucid.report.checks.generalization import generalization, underfit
from pellucid.report.checks.leakage import giveaway, leakage
from pellucid.report.checks.openness import openness
from pellucid.report.checks.performance import performance
from pellucid.report.checks.robustness import attacks, robustness
from pellucid.report.checks.selective import selective
from pellucid.report.checks.shift import domains, shift, slices, subgroups
from pellucid.report.checks.trust import trust

CHECKS = (
    performance,
    generalization,
    underfit,
    calibration,
    sets,
    selective,
    robustness,
    attacks,
    leakage,
    giveaway,
    labels,
    memory,
    shift,
    domains,
    subgroups,
    slices,
    exactness,
    concentration,
    trust,
    attention,
    openness,
)
"""Every check, in the order in which its questions are asked."""
