"""When the answers to a filter's questions make an edit pass: all of them must, or a share of them."""

from __future__ import annotations

from collections.abc import Mapping

from varireal.config import FilterConfig


def passes(scores: Mapping[str, float], thresholds: Mapping[str, float], config: FilterConfig) -> bool:
    """Tell whether an edit with these scores passes.

    A question's answer is the hoped-for one where its score reaches its threshold. By the rule ``all`` every answer
    must be; by ``mean`` at least ``filter.mean_threshold`` of them, among the questions with a threshold above 0.
    """
    hoped_for = {name: scores[name] >= least for name, least in thresholds.items()}
    if config.rule == "all":
        return all(hoped_for.values())
    counted = [hoped_for[name] for name in counting(thresholds)]
    return not counted or sum(counted) / len(counted) >= config.mean_threshold


def counting(thresholds: Mapping[str, float]) -> list[str]:
    """Return the questions that count: those with a threshold above 0, or all of them where none has one."""
    return [name for name, least in thresholds.items() if least > 0] or list(thresholds)


def rule_identity(config: FilterConfig) -> dict[str, object]:
    """Return what a filter's identity says of the rule: nothing of ``all``, whose finished answers stay valid."""
    return {} if config.rule == "all" else {"rule": config.rule, "mean_threshold": config.mean_threshold}
