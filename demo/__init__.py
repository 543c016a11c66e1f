"""The demo's data: generated street scenes, and the different generated task its checkpoint was trained on."""

from schema.installation import require_everything

require_everything(__name__)
