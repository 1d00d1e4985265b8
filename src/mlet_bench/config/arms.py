"""`arms=[emb=single,"emb=mlet emb.inner=64"]`: each configuration of a comparison as overrides of the section `emb`."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlet_bench.config.base import convert
from mlet_bench.config.compose import Composed, Composer
from mlet_bench.config.emb import EMBEDDINGS
from mlet_bench.errors import UserError

SHORT, KEY = "arms=[", "arms.overrides"


def compose_tune(composer: Composer, overrides: Sequence[str]) -> Composed:
    """The config of `tune`, in which every configuration given by overrides has its whole section `emb`."""
    words = [_spelled_out(word) if word.startswith(SHORT) else word for word in overrides]
    composed = composer.one(words)
    arms = composed.values["arms"]
    if not isinstance(arms, dict):  # the schema says what it has to be
        return composed
    given = arms.get("overrides", [])
    if not isinstance(given, list) or not all(isinstance(arm, str) for arm in given):
        raise UserError(f'{KEY}: takes a list of texts, for example ["emb=single","emb=mlet emb.inner=64"]')
    resolved = [{"overrides": arm, "emb": _section(composer, words, arm)} for arm in given]
    return replace(composed, values={**composed.values, "arms": {**arms, "overrides": resolved}})


def _spelled_out(word: str) -> str:
    r"""Hydra's grammar wants quotes around a text with `=`; here they are needed around a comma alone.

    >>> _spelled_out('arms=[emb=single,"emb=mlet emb.inner=64"]')
    'arms.overrides=["emb=single","emb=mlet emb.inner=64"]'
    """
    inside = word.removeprefix(SHORT).rstrip()
    if not inside.endswith("]"):
        raise UserError(f"{word}: the list has no end; quote it in the shell: 'arms=[emb=single,\"emb=mlet …\"]'")
    quote = '"' if '"' in inside else "'"
    (arms,) = csv.reader([inside[:-1]], quotechar=quote, skipinitialspace=True)
    return f"{KEY}=[" + ",".join(f'"{arm.strip()}"' for arm in arms) + "]"


def _section(composer: Composer, words: Sequence[str], arm: str) -> Any:
    """The section `emb` of one configuration: that of the whole command with its overrides after all others."""
    own = arm.split()
    for word in own:
        key, sign, _ = word.partition("=")
        if not sign or not (key == "emb" or key.startswith("emb.")):
            raise UserError(
                f"arms: {word}: each is made of emb=MODE and emb.KEY=VALUE; other keys hold for all of them"
            )
    if not own:
        raise UserError("arms: a configuration is empty; give emb=MODE, for example emb=single")
    values = composer.one([*words, *own]).values["emb"]
    mode = str(values["mode"])
    if mode not in EMBEDDINGS:
        raise UserError(f"arms: emb.mode={mode}: no such mode")
    return convert(EMBEDDINGS[mode], values, "emb")
