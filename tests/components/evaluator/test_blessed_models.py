"""Which models qualify, whatever was said about them and in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.evaluator.blessed_models import Judgement, blessed_models

JUDGEMENTS = st.lists(st.builds(Judgement, st.integers(1, 4), st.booleans()), max_size=8)


@given(JUDGEMENTS, JUDGEMENTS)
def test_a_model_qualifies_by_the_gate_and_is_out_by_a_contract_check_that_only_refused_it(
    gate: list[Judgement], contract: list[Judgement]
) -> None:
    for model in range(1, 5):
        is_blessed = Judgement(model, True) in gate
        is_refused = Judgement(model, False) in contract and Judgement(model, True) not in contract
        assert (model in blessed_models(gate, contract)) == (is_blessed and not is_refused)
    assert blessed_models(gate, ()) == {judgement.model_id for judgement in gate if judgement.is_blessed}
