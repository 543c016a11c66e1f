"""Settings of the report: what the model card says that no run can know. Imports neither TFX nor TensorFlow."""

from __future__ import annotations

from typing import Annotated

import pydantic

from components.settings import Settings

Words = Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=1)]


class CardSettings(Settings):
    """What the model card says in the words of those who answer for the model (Mitchell et al., Model Cards for Model
    Reporting, 2019). The page of a run adds what the run knows; what is left out here is named as missing there.
    Nothing is computed from it: changed words make no node run again."""

    intended_use: Words | None = None
    """What the model is for, and for whom."""
    out_of_scope: Words | None = None
    """Uses that it is not meant for."""
    limits: Words | None = None
    """Where it is known to fail, and what to keep in mind about its answers."""
    ethics: Words | None = None
    """Whom its answers or its images may concern or harm, and what was done about it."""
    data_source: Words | None = None
    """Where the images and their annotations come from."""
    data_licence: Words | None = None
    """Under which licence they may be used, such as `CC BY 4.0`."""
    weights_licence: Words | None = None
    """Licence of the start weights (`model.pretrained`)."""
    licence: Words | None = None
    """Licence of the trained model itself."""
    contact: Words | None = None
    """Whom to ask about the model."""
