"""COCO's label map as the zoo's checkpoints were trained with: 80 classes on the ids 1 to 90."""

from __future__ import annotations

from typing import Final

from schema.label_map import LabelMap

_NAMES: Final = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, "
    "teddy bear, hair drier, toothbrush"
)
NUM_IDS: Final = 90
_IDS_WITHOUT_CLASS: Final = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

COCO_LABEL_MAP: Final = LabelMap(
    tuple(number for number in range(1, NUM_IDS + 1) if number not in _IDS_WITHOUT_CLASS), tuple(_NAMES.split(", "))
)
