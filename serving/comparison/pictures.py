"""An image twice, side by side: what each version finds in it that the other does not, or scores otherwise."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from serving.clients.drawing import draw_detections
from serving.comparison.matching import Difference, Tolerance

_GAP_PIXELS = 8


def side_by_side(
    image: Image.Image, difference: Difference, versions: tuple[int, int], tolerance: Tolerance
) -> Image.Image:
    """The upright image with what the first version finds left and the second right; what they agree on is left out."""
    shifted = [pair for pair in difference.pairs if abs(pair.score_shift) > tolerance.max_score_shift]
    left = draw_detections(image, [*difference.only_a, *(pair.a for pair in shifted)])
    right = draw_detections(image, [*difference.only_b, *(pair.b for pair in shifted)])
    size = max(12, image.width // 40)
    font = ImageFont.load_default(size=size)
    top = size + 2 * _GAP_PIXELS
    both = Image.new("RGB", (2 * image.width + _GAP_PIXELS, image.height + top), "white")
    draw = ImageDraw.Draw(both)
    for x, drawn, version in ((0, left, versions[0]), (image.width + _GAP_PIXELS, right, versions[1])):
        both.paste(drawn, (x, top))
        draw.text((x + _GAP_PIXELS, _GAP_PIXELS // 2), f"version {version}", font=font, fill="black")
    return both
