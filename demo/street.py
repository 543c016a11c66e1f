"""The street behind the signs: sky, houses in perspective, road, pavement, trees, lamps and cars."""

from __future__ import annotations

import dataclasses

import numpy as np

from demo.canvas import Canvas, Rgb

_WALLS: tuple[Rgb, ...] = (
    (168, 120, 96),
    (196, 176, 148),
    (140, 90, 76),
    (172, 170, 164),
    (206, 190, 130),
    (124, 132, 142),
    (178, 146, 150),
    (150, 160, 134),
)
_CARS: tuple[Rgb, ...] = ((150, 24, 30), (28, 58, 120), (210, 210, 214), (40, 42, 46), (120, 126, 130), (56, 96, 70))
_LIT: Rgb = (255, 206, 120)
_LAMP: Rgb = (255, 226, 170)


@dataclasses.dataclass(frozen=True)
class Street:
    """Where things stand; lengths in canvas pixels.

    Attributes:
      horizon: y of the horizon.
      vanishing_x: x where the road disappears.
      left, right: how far the road's edges are from the vanishing point's x at the lower edge of the picture.
      pavement: width of the pavements at the lower edge.
    """

    horizon: float
    vanishing_x: float
    left: float
    right: float
    pavement: float

    def ground_y(self, nearness: float, height: int) -> float:
        """y of the ground at a nearness of 0 (horizon) to 1 (lower edge of the picture)."""
        return self.horizon + (height - self.horizon) * nearness

    def edge_x(self, side: int, nearness: float, beyond: float = 0.0) -> float:
        """x of the road's edge; `side` is -1 for left and 1 for right, `beyond` shares of the pavement further out."""
        reach = (self.left if side < 0 else self.right) + beyond * self.pavement
        return self.vanishing_x + side * reach * nearness


def distance_of(nearness: float) -> float:
    """Distance plane value (0..1) of what stands at a nearness of 0 (horizon) to 1 (lower edge)."""
    return float(max(0.0, 1.0 - nearness) ** 1.3) * 0.9


def plan_street(canvas: Canvas, place: np.random.Generator, shot: np.random.Generator) -> Street:
    """Lays out a street: `place` is the same for all pictures of a sequence, `shot` moves the camera in it."""
    return Street(
        horizon=canvas.height * (place.uniform(0.42, 0.58) + shot.uniform(-0.03, 0.03)),
        vanishing_x=canvas.width * (place.uniform(0.3, 0.7) + shot.uniform(-0.08, 0.08)),
        left=canvas.width * place.uniform(0.35, 0.75),
        right=canvas.width * place.uniform(0.35, 0.75),
        pavement=canvas.width * place.uniform(0.12, 0.3),
    )


def draw_street(canvas: Canvas, street: Street, place: np.random.Generator, shot: np.random.Generator) -> None:
    """Draws everything that stands behind the signs."""
    _draw_sky(canvas, street, shot)
    _draw_road(canvas, street, place)
    for side in (-1, 1):
        if place.random() < 0.75:
            _draw_houses(canvas, street, side, place)
        else:
            _draw_park(canvas, street, side, place)
    for side in (-1, 1):
        for _ in range(int(place.integers(0, 3))):
            draw_tree(canvas, street, side, float(shot.uniform(0.15, 0.5)), shot)
        if place.random() < 0.5:
            draw_lamp(canvas, street, side, float(shot.uniform(0.2, 0.6)))
    for _ in range(int(shot.integers(0, 3))):
        _draw_car(canvas, street, float(shot.uniform(0.12, 0.55)), shot)


def _draw_sky(canvas: Canvas, street: Street, shot: np.random.Generator) -> None:
    top = np.array([92, 148, 214]) + shot.integers(-18, 18, 3)
    low = np.array([196, 216, 234]) + shot.integers(-12, 12, 3)
    bands = 24
    for band in range(bands):
        share = band / (bands - 1)
        fill = _rgb(top * (1 - share) + low * share)
        y = street.horizon * band / bands
        canvas.rectangle(0, y, canvas.width, y + street.horizon / bands + 1, fill, 1.0)
    for _ in range(int(shot.integers(0, 5))):
        x, y = shot.uniform(0, canvas.width), shot.uniform(0, street.horizon * 0.7)
        for _ in range(6):
            width = shot.uniform(20, 60)
            puff = _rgb(np.full(3, shot.integers(225, 250)))
            canvas.ellipse(x + shot.normal(0, 35), y + shot.normal(0, 6), width, width * 0.28, puff, 1.0)
    for _ in range(int(shot.integers(3, 9))):
        x, width = shot.uniform(0, canvas.width), shot.uniform(40, 140)
        height = canvas.height * shot.uniform(0.02, 0.09)
        hill = _rgb(np.array([112, 138, 122]) + shot.integers(-18, 18))
        canvas.ellipse(x, street.horizon + 4, width, height, hill, 0.95)


def _draw_road(canvas: Canvas, street: Street, place: np.random.Generator) -> None:
    grass = _rgb(np.array([96, 122, 70]) + place.integers(-16, 16, 3))
    paving = _rgb(np.full(3, place.integers(138, 176)) + np.array([6, 2, -4]))
    asphalt = _rgb(np.full(3, place.integers(72, 104)))
    steps = 28
    for step in range(steps):
        near, nearer = step / steps, (step + 1) / steps
        y, y_low = street.ground_y(near, canvas.height), street.ground_y(nearer, canvas.height) + 1
        distance = distance_of((near + nearer) / 2)
        canvas.rectangle(0, y, canvas.width, y_low, grass, distance)
        for beyond, fill in ((1.0, paving), (0.03, _rgb(np.array(paving) * 0.75)), (0.0, asphalt)):
            corners = [
                (street.edge_x(-1, near, beyond), y),
                (street.edge_x(1, near, beyond), y),
                (street.edge_x(1, nearer, beyond), y_low),
                (street.edge_x(-1, nearer, beyond), y_low),
            ]
            canvas.polygon(corners, fill, distance)
    middle = (street.right - street.left) / 2
    near = 0.03
    while near < 1:
        nearer = near * 1.35
        half = canvas.width * 0.012
        corners = [
            (street.vanishing_x + (middle + offset) * share, street.ground_y(share, canvas.height))
            for offset, share in ((-half, near), (half, near), (half, nearer), (-half, nearer))
        ]
        canvas.polygon(corners, (214, 214, 206), distance_of(near))
        near = nearer * 1.4
    for _ in range(int(place.integers(2, 7))):
        share = place.uniform(0.2, 1.0)
        x = street.vanishing_x + place.uniform(-street.left, street.right) * share
        patch = _rgb(np.array(asphalt) * place.uniform(0.7, 0.9))
        y = street.ground_y(share, canvas.height)
        canvas.ellipse(x, y, 40 * share, 8 * share, patch, distance_of(share))


def _draw_houses(canvas: Canvas, street: Street, side: int, place: np.random.Generator) -> None:
    near = 0.06
    while near < 1.2:
        nearer = near * place.uniform(1.35, 1.9)
        wall = np.array(_WALLS[place.integers(len(_WALLS))]) + place.integers(-14, 14, 3)
        height = canvas.height * place.uniform(0.7, 1.5)
        floors, columns = int(place.integers(2, 6)), int(place.integers(2, 5))
        x0, x1 = street.edge_x(side, near, 1.0), street.edge_x(side, nearer, 1.0)
        y0, y1 = street.ground_y(near, canvas.height), street.ground_y(nearer, canvas.height)
        top0, top1 = y0 - height * near, y1 - height * nearer
        distance = distance_of(min(1.0, (near + nearer) / 2))
        # The gable that faces the camera, then the front along the street.
        far_out = x0 + side * canvas.width
        canvas.polygon([(x0, y0), (x0, top0), (far_out, top0), (far_out, y0)], _rgb(wall * 0.8), distance)
        canvas.polygon([(x0, y0), (x0, top0), (x1, top1), (x1, y1)], _rgb(wall), distance)
        roof = _rgb(np.array([96, 62, 54]) + place.integers(-20, 20, 3))
        ridge = 0.12 * height
        canvas.polygon([(x0, top0), (x1, top1), (x1, top1 - ridge * nearer), (x0, top0 - ridge * near)], roof, distance)
        for floor in range(floors):
            for column in range(columns):
                lit = place.random() < 0.35
                glass = _rgb(np.array([66, 82, 98]) + place.integers(-16, 30))
                shares = [(column + 0.25) / columns, (column + 0.75) / columns]
                levels = [(floor + 0.3) / floors, (floor + 0.75) / floors]
                corners = []
                for share, level in (
                    (shares[0], levels[0]),
                    (shares[1], levels[0]),
                    (shares[1], levels[1]),
                    (shares[0], levels[1]),
                ):
                    # Windows crowd together towards the far end, as perspective has it.
                    along = share * near / (nearer - share * (nearer - near))
                    top, bottom = top0 + (top1 - top0) * along, y0 + (y1 - y0) * along
                    corners.append((x0 + (x1 - x0) * along, top + (bottom - top) * level))
                canvas.polygon(corners, glass, distance, _LIT if lit else (0, 0, 0))
        near = nearer


def _draw_park(canvas: Canvas, street: Street, side: int, place: np.random.Generator) -> None:
    for near in sorted(place.uniform(0.06, 0.5, int(place.integers(4, 8)))):
        draw_tree(canvas, street, side, float(near), place)


def draw_tree(canvas: Canvas, street: Street, side: int, near: float, rng: np.random.Generator) -> None:
    """A tree beyond the pavement at a nearness of 0..1."""
    x = street.edge_x(side, near, float(rng.uniform(1.0, 1.8)))
    ground = street.ground_y(near, canvas.height)
    size = canvas.height * near * rng.uniform(0.7, 1.1)
    distance = distance_of(near)
    canvas.line([(x, ground), (x, ground - size * 0.6)], (84, 64, 48), max(2, size * 0.07), distance)
    draw_leaves(canvas, x, ground - size * 0.8, size * 0.28, distance, 55, rng)


def draw_leaves(
    canvas: Canvas, x: float, y: float, spread: float, distance: float, count: int, rng: np.random.Generator
) -> None:
    """A cloud of `count` leaves about (x, y) with a standard deviation of `spread` canvas pixels."""
    green = np.array([64, 104, 46]) + rng.integers(-18, 18, 3)
    for dx, dy, shade, size in zip(
        rng.normal(0, 0.55, count),
        rng.normal(0, 0.5, count),
        rng.uniform(0.6, 1.35, count),
        rng.uniform(0.14, 0.3, count),
        strict=True,
    ):
        radius = max(1.5, spread * size)
        canvas.ellipse(x + dx * spread, y + dy * spread, radius, radius * 0.8, _rgb(green * shade), distance)


def draw_lamp(canvas: Canvas, street: Street, side: int, near: float) -> None:
    """A street lamp on the pavement, lit at night."""
    x, ground = street.edge_x(side, near, 0.25), street.ground_y(near, canvas.height)
    height = canvas.height * near * 1.15
    distance = distance_of(near)
    arm = x - side * height * 0.14
    canvas.line(
        [(x, ground), (x, ground - height), (arm, ground - height)], (70, 74, 76), max(2, height * 0.022), distance
    )
    canvas.ellipse(arm, ground - height, max(3, height * 0.045), max(2, height * 0.022), _LAMP, distance, _LAMP)


def _draw_car(canvas: Canvas, street: Street, near: float, rng: np.random.Generator) -> None:
    oncoming = rng.random() < 0.5
    lane = -0.5 * street.left if oncoming else 0.5 * street.right
    x, ground = street.vanishing_x + lane * near, street.ground_y(near, canvas.height)
    width = canvas.width * 0.26 * near
    distance = distance_of(near)
    paint = np.array(_CARS[rng.integers(len(_CARS))])
    canvas.ellipse(x, ground, width * 0.55, width * 0.09, (34, 34, 36), distance)
    canvas.rectangle(x - width / 2, ground - width * 0.42, x + width / 2, ground - width * 0.08, _rgb(paint), distance)
    cabin = [(-0.40, 0.42), (-0.30, 0.72), (0.30, 0.72), (0.40, 0.42)]
    canvas.polygon([(x + dx * width, ground - dy * width) for dx, dy in cabin], _rgb(paint * 0.85), distance)
    window = [(-0.33, 0.44), (-0.26, 0.67), (0.26, 0.67), (0.33, 0.44)]
    canvas.polygon([(x + dx * width, ground - dy * width) for dx, dy in window], (58, 70, 82), distance)
    lamp: Rgb = (255, 246, 220) if oncoming else (220, 30, 26)
    for wheel_side in (-1, 1):
        canvas.rectangle(
            x + wheel_side * width * 0.36 - width * 0.07,
            ground - width * 0.1,
            x + wheel_side * width * 0.36 + width * 0.07,
            ground,
            (26, 26, 28),
            distance,
        )
        canvas.ellipse(
            x + wheel_side * width * 0.38, ground - width * 0.28, width * 0.07, width * 0.05, lamp, distance, lamp
        )


def _rgb(values: np.ndarray) -> Rgb:
    red, green, blue = values.tolist()
    return min(max(int(red), 0), 255), min(max(int(green), 0), 255), min(max(int(blue), 0), 255)
