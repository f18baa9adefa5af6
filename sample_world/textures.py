"""Textures of the sample world: masonry, windows, ornaments, roofs, drawn with colour and relief.

A texture is drawn on a `Canvas` in metres, with the origin at the lower left. Beside its colour
each point has a height over the wall, from which `Canvas.finish` derives normals and the darkening
of recesses, so that the renderer can light the same facade from any side.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SUBPIXEL_BITS = 4
MAX_TEXTURE_SIDE = 1400

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Texture:
    """A picture with its mip levels, finest first.

    `colour` holds uint8 [h,w,3] RGB (sRGB), `detail` uint8 [h,w,4]: tangent-space normal x and y
    (128 is zero), glass (0 none, else how readily the pane is lit in the evening) and ambient
    occlusion. `alpha` holds uint8 [h,w] or None where the texture is solid. `repeat` says whether
    coordinates outside [0, 1] wrap around.
    """

    colour: tuple[np.ndarray, ...]
    detail: tuple[np.ndarray, ...]
    alpha: tuple[np.ndarray, ...] | None
    repeat: bool


def mip_levels(image: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the image and its halvings by area averaging, down to about 4 pixels."""
    levels = [np.ascontiguousarray(image)]
    while min(levels[-1].shape[:2]) >= 8 and len(levels) < 8:
        height, width = levels[-1].shape[:2]
        size = (max(1, width // 2), max(1, height // 2))
        levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA))
    return tuple(levels)


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    cells: float = 4.0,
    octaves: int = 4,
    stretch: float = 1.0,
) -> np.ndarray:
    """Return smooth tileable noise, float32 [height, width], zero mean, about unit deviation.

    `cells` is the number of bumps of the coarsest octave along the longer side; `stretch` above 1
    draws the bumps out vertically.
    """
    longest = max(height, width)
    if longest >= 256 and cells * 2**octaves * 4 <= longest:
        # Nothing in it is so fine that half the resolution would not do.
        half = fractal_noise(rng, (height + 1) // 2, (width + 1) // 2, cells, octaves, stretch)
        return cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = max(2, round(cells * height / longest * 2**octave / stretch))
        columns = max(2, round(cells * width / longest * 2**octave))
        if rows > height or columns > width:
            break
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        padded = np.pad(grid, 2, mode="wrap")
        step_y, step_x = height / rows, width / columns
        size = (round(step_x * (columns + 4)), round(step_y * (rows + 4)))
        fine = cv2.resize(padded, size, interpolation=cv2.INTER_CUBIC)
        y0, x0 = round(2 * step_y), round(2 * step_x)
        total += fine[y0 : y0 + height, x0 : x0 + width] * np.float32(0.55**octave)
    return total / max(1e-6, float(total.std()))


def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker (factor below 1) or lighter, kept within [0, 1]."""
    return tuple(float(np.clip(c * factor, 0.0, 1.0)) for c in colour)  # type: ignore[return-value]


def blend(first: Colour, second: Colour, weight: float) -> Colour:
    """Return the mixture of two colours, `weight` of the second."""
    return tuple(a + (b - a) * weight for a, b in zip(first, second))  # type: ignore[return-value]


def vary(rng: np.random.Generator, colour: Colour, amount: float = 0.05) -> Colour:
    """Return a colour changed a little at random, more in brightness than in hue."""
    factor = 1.0 + rng.normal(0, amount)
    return tuple(  # type: ignore[return-value]
        float(np.clip(c * factor + rng.normal(0, amount * 0.17), 0.02, 0.98)) for c in colour
    )


def arch(cx: float, y: float, width: float, height: float, kind: str) -> np.ndarray:
    """Return the outline [n, 2] of an opening that stands on `y`: rect, segment, round, pointed."""
    half = width / 2
    if kind == "rect":
        return np.array(
            [[cx - half, y], [cx + half, y], [cx + half, y + height], [cx - half, y + height]]
        )
    if kind == "round":
        rise = min(half, height)
        angles = np.linspace(0, np.pi, 15)
        top = np.stack([half * np.cos(angles), rise * np.sin(angles)], 1)
    elif kind == "segment":
        rise = min(width * 0.18, height)
        xs = np.linspace(1, -1, 9)
        top = np.stack([half * xs, rise * (1 - xs**2)], 1)
    elif kind == "pointed":
        rise = min(width * 0.95, height)
        t = np.linspace(0, np.pi / 3, 8)
        right = np.stack([width * np.cos(t) - half, width * np.sin(t)], 1)
        left = right[::-1] * np.array([-1.0, 1.0])
        top = np.concatenate([right, left[1:]]) * np.array(
            [1.0, rise / (width * np.sin(np.pi / 3))]
        )
    else:
        raise ValueError(f"unknown arch: {kind}")
    spring = y + height - rise
    outline = top + np.array([cx, spring])
    return np.concatenate([[[cx - half, y], [cx + half, y]], outline])


class Canvas:
    """A wall to draw on, `width` × `height` metres at about `density` pixels a metre."""

    def __init__(
        self,
        rng: np.random.Generator,
        width: float,
        height: float,
        density: float = 26.0,
        colour: Colour = (0.7, 0.68, 0.62),
    ) -> None:
        self.rng = rng
        self.width = float(width)
        self.height = float(height)
        self.density = min(density, MAX_TEXTURE_SIDE / max(width, height))
        columns = max(16, round(self.width * self.density))
        rows = max(16, round(self.height * self.density))
        self.scale = (columns / self.width, rows / self.height)
        self.colour = np.empty((rows, columns, 3), np.uint8)
        self.colour[:] = np.round(np.array(colour) * 255)
        self.relief = np.zeros((rows, columns), np.float32)
        self.glass = np.zeros((rows, columns), np.uint8)

    # -- shapes ---------------------------------------------------------------------------------

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return points [n, 2] in metres as fixed-point pixel coordinates for OpenCV."""
        points = np.asarray(points, np.float64)
        x = points[:, 0] * self.scale[0] - 0.5
        y = (self.height - points[:, 1]) * self.scale[1] - 0.5
        return np.round(np.stack([x, y], 1) * (1 << SUBPIXEL_BITS)).astype(np.int32)

    def polygon(
        self,
        points: np.ndarray,
        colour: Colour | None = None,
        relief: float | None = None,
        glass: int | None = None,
    ) -> None:
        """Fill a polygon: colour (anti-aliased), height over the wall in metres, glass value."""
        pixels = [self.pixels(points)]
        if colour is not None:
            value = tuple(round(c * 255) for c in colour)
            cv2.fillPoly(self.colour, pixels, value, cv2.LINE_AA, SUBPIXEL_BITS)
        if relief is not None:
            cv2.fillPoly(self.relief, pixels, float(relief), cv2.LINE_8, SUBPIXEL_BITS)
        if glass is not None:
            cv2.fillPoly(self.glass, pixels, int(glass), cv2.LINE_8, SUBPIXEL_BITS)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, **paint) -> None:
        """Fill an upright rectangle; see `polygon` for the paint."""
        self.polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), **paint)

    def disc(self, cx: float, cy: float, radius: float, **paint) -> None:
        """Fill a circle; see `polygon` for the paint."""
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        ring = np.stack([cx + radius * np.cos(angles), cy + radius * np.sin(angles)], 1)
        self.polygon(ring, **paint)

    def line(
        self,
        points: np.ndarray,
        thickness: float,
        colour: Colour | None = None,
        relief: float | None = None,
        glass: int | None = None,
        closed: bool = False,
    ) -> None:
        """Draw a line through points, `thickness` in metres."""
        pixels = [self.pixels(points)]
        width = max(1, round(thickness * self.scale[0]))
        if colour is not None:
            value = tuple(round(c * 255) for c in colour)
            cv2.polylines(self.colour, pixels, closed, value, width, cv2.LINE_AA, SUBPIXEL_BITS)
        if relief is not None:
            cv2.polylines(
                self.relief, pixels, closed, float(relief), width, cv2.LINE_8, SUBPIXEL_BITS
            )
        if glass is not None:
            cv2.polylines(self.glass, pixels, closed, glass, width, cv2.LINE_8, SUBPIXEL_BITS)

    def text(self, text: str, cx: float, cy: float, height: float, colour: Colour) -> None:
        """Write a line of text, centred, `height` metres tall."""
        font, pixels = cv2.FONT_HERSHEY_DUPLEX, height * self.scale[1]
        (width, tall), _ = cv2.getTextSize(text, font, 1.0, 1)
        size = pixels / tall
        origin = (
            round(cx * self.scale[0] - width * size / 2),
            round((self.height - cy) * self.scale[1] + pixels / 2),
        )
        value = tuple(round(c * 255) for c in colour)
        cv2.putText(
            self.colour, text, origin, font, size, value, max(1, round(size * 1.6)), cv2.LINE_AA
        )

    def _window(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice]:
        rows, columns = self.relief.shape
        left, right = (int(np.clip(round(x * self.scale[0]), 0, columns)) for x in (x0, x1))
        top, bottom = (
            int(np.clip(round((self.height - y) * self.scale[1]), 0, rows)) for y in (y1, y0)
        )
        return slice(top, bottom), slice(left, right)

    # -- surfaces -------------------------------------------------------------------------------

    def masonry(
        self,
        colour: Colour,
        course: float,
        block: float,
        variation: float = 0.06,
        mortar: Colour | None = None,
        joint: float = 0.03,
        depth: float = 0.02,
        region: tuple[float, float, float, float] | None = None,
        relief: float = 0.0,
        courses_vary: bool = False,
    ) -> None:
        """Lay bricks or stone courses over a region (x0, y0, x1, y1), the whole wall by default.

        `course` and `block` are the height and length of a stone in metres, `depth` that of the
        joints; with `courses_vary` the lengths differ from course to course.
        """
        region = region or (0.0, 0.0, self.width, self.height)
        window = self._window(*region)
        rows, columns = self.relief[window].shape
        if rows < 2 or columns < 2:
            return
        ys = (np.arange(rows, dtype=np.float32)[::-1] + 0.5) / self.scale[1]
        xs = (np.arange(columns, dtype=np.float32) + 0.5) / self.scale[0]
        count = max(1, round((region[3] - region[1]) / course))
        course = (region[3] - region[1]) / count
        row = np.clip((ys / course).astype(int), 0, count - 1)
        lengths = np.full(count, block, np.float32)
        if courses_vary:
            lengths *= self.rng.uniform(0.7, 1.5, count).astype(np.float32)
        offset = (np.arange(count) % 2 * 0.5 * lengths).astype(np.float32)
        if courses_vary:
            offset = (self.rng.random(count) * lengths).astype(np.float32)
        along = (xs[None, :] + offset[row][:, None]) / lengths[row][:, None]
        stone = along.astype(np.int32)
        table = self.rng.standard_normal((count, int(stone.max()) + 1)).astype(np.float32)
        tint = table[row[:, None], stone]
        hue = self.rng.standard_normal(table.shape).astype(np.float32)[row[:, None], stone]
        fraction = along - stone
        edge_x = np.minimum(fraction, 1 - fraction) * lengths[row][:, None]
        fraction_y = ys / course - row
        edge_y = np.minimum(fraction_y, 1 - fraction_y) * course
        edge = np.minimum(edge_x, edge_y[:, None])
        # At low density a joint is thinner than a pixel: fade it rather than let it alias.
        softness = 0.7 / self.density
        inside = np.clip((edge - joint / 2) / softness + 0.5, 0, 1)
        strength = min(1.0, joint * self.density * 1.2 + 0.25)
        inside = 1 - (1 - inside) * strength
        base = np.array(colour, np.float32)
        stones = base * (1 + variation * tint[..., None])
        stones = stones + variation * 0.25 * hue[..., None] * np.array([1, 0.1, -0.9], np.float32)
        joints = np.array(mortar if mortar is not None else shade(colour, 0.72), np.float32)
        mixed = joints + (stones - joints) * inside[..., None]
        self.colour[window] = np.clip(mixed * 255, 4, 251).astype(np.uint8)
        self.relief[window] = relief + depth * (inside - 1) + 0.15 * depth * tint * (inside > 0.5)

    def plaster(
        self,
        colour: Colour,
        roughness: float = 0.03,
        region: tuple[float, float, float, float] | None = None,
        relief: float = 0.0,
    ) -> None:
        """Cover a region with rendered plaster: one colour, patchy."""
        window = self._window(*(region or (0.0, 0.0, self.width, self.height)))
        rows, columns = self.relief[window].shape
        if rows < 2 or columns < 2:
            return
        noise = fractal_noise(self.rng, rows, columns, cells=10, octaves=5)
        mixed = np.array(colour, np.float32) * (1 + roughness * noise[..., None])
        self.colour[window] = np.clip(mixed * 255, 4, 251).astype(np.uint8)
        self.relief[window] = relief + 0.004 * noise

    def tiles(self, colour: Colour, course: float, width: float, variation: float = 0.12) -> None:
        """Cover the whole canvas with roof tiles or slates in overlapping courses."""
        self.masonry(colour, course, width, variation, shade(colour, 0.5), 0.03, 0.02)
        rows, _ = self.relief.shape
        ys = (np.arange(rows, dtype=np.float32)[::-1] + 0.5) / self.scale[1]
        slope = (1 - np.mod(ys / course, 1.0)).astype(np.float32)
        self.relief += 0.06 * slope[:, None]

    def seams(self, colour: Colour, spacing: float, variation: float = 0.06) -> None:
        """Cover the whole canvas with standing-seam metal sheet, such as copper or lead."""
        rows, columns = self.relief.shape
        noise = fractal_noise(self.rng, rows, columns, cells=6, octaves=5, stretch=3)
        mixed = np.array(colour, np.float32) * (1 + variation * noise[..., None])
        self.colour[:] = np.clip(mixed * 255, 4, 251).astype(np.uint8)
        for x in np.arange(spacing / 2, self.width, spacing):
            points = np.array([[x, 0], [x, self.height]])
            self.line(points, spacing * 0.08, shade(colour, 1.15), 0.08)

    # -- ornaments ------------------------------------------------------------------------------

    def cornice(
        self, y: float, height: float, colour: Colour, out: float = 0.35, dentils: bool = True
    ) -> None:
        """Draw a horizontal cornice whose lower edge lies at `y`, over the whole width."""
        steps = 4
        for step in range(steps):
            low = y + height * step / steps
            tone = shade(colour, 0.94 + 0.12 * (step % 2))
            self.rectangle(
                0, low, self.width, y + height, colour=tone, relief=out * (step + 1) / steps
            )
        if dentils:
            size = height * 0.4
            for x in np.arange(size * 0.5, self.width, size * 1.8):
                self.rectangle(
                    x, y - size * 0.9, x + size, y, colour=shade(colour, 1.02), relief=out * 0.6
                )

    def pilaster(
        self, cx: float, y0: float, y1: float, width: float, colour: Colour, fluted: bool = True
    ) -> None:
        """Draw a half column with base and capital."""
        half = width / 2
        base = min(width * 0.6, (y1 - y0) * 0.1)
        self.rectangle(
            cx - half, y0 + base, cx + half, y1 - base, colour=vary(self.rng, colour, 0.02)
        )
        window = self._window(cx - half, y0 + base, cx + half, y1 - base)
        columns = self.relief[window].shape[1]
        if columns:
            t = np.linspace(-1, 1, columns, dtype=np.float32)
            profile = 0.28 * np.sqrt(np.clip(1 - t**2, 0, 1)) + 0.12
            if fluted and columns >= 10:
                profile = profile + 0.03 * np.abs(np.cos(t * np.pi * 3))
            self.relief[window] = profile[None, :]
        for grow, low, high in ((1.3, y0, y0 + base * 0.5), (1.15, y0 + base * 0.5, y0 + base)):
            self.rectangle(
                cx - half * grow, low, cx + half * grow, high, colour=colour, relief=0.35 * grow
            )
        for grow, low, high in (
            (1.1, y1 - base, y1 - base * 0.6),
            (1.25, y1 - base * 0.6, y1 - base * 0.25),
            (1.5, y1 - base * 0.25, y1),
        ):
            self.rectangle(
                cx - half * grow,
                low,
                cx + half * grow,
                high,
                colour=shade(colour, 1.03),
                relief=0.35 * grow,
            )

    def balustrade(self, y: float, height: float, colour: Colour) -> None:
        """Draw a row of balusters before a shadowed gap, over the whole width."""
        self.rectangle(0, y, self.width, y + height, colour=shade(colour, 0.35), relief=-0.2)
        pitch = height * 0.34
        for x in np.arange(pitch / 2, self.width, pitch):
            for share, half in ((0.25, 0.16), (0.5, 0.28), (0.75, 0.16)):
                self.disc(x, y + height * share, height * half * 0.7, colour=colour, relief=0.1)
            self.rectangle(
                x - pitch * 0.14, y, x + pitch * 0.14, y + height, colour=colour, relief=0.08
            )
        for low in (y, y + height * 0.84):
            self.rectangle(0, low, self.width, low + height * 0.16, colour=colour, relief=0.18)

    def panes(self, outline: np.ndarray, tint: Colour = (0.16, 0.2, 0.25)) -> None:
        """Fill an outline with window glass of its own shade, some with a pale blind."""
        tone = shade(vary(self.rng, tint, 0.04), float(self.rng.uniform(0.6, 1.4)))
        if self.rng.random() < 0.12:
            tone = blend(tone, (0.75, 0.72, 0.64), self.rng.uniform(0.3, 0.7))
        self.polygon(outline, colour=tone, relief=-0.3, glass=int(self.rng.integers(40, 255)))

    def window(
        self,
        cx: float,
        y: float,
        width: float,
        height: float,
        kind: str,
        trim: Colour,
        frame: Colour = (0.86, 0.84, 0.8),
        moulding: float = 0.16,
        bars: tuple[int, int] = (2, 3),
        head: str = "none",
        sill: bool = True,
        shutters: Colour | None = None,
    ) -> None:
        """Draw a window with surround, reveal, panes and bars.

        `head` is what stands above it: none, ledge, pediment, arc or keystone.
        """
        m = moulding
        if shutters is not None:
            for side in (-1, 1):
                x = cx + side * (width * 0.78 + m)
                x0, x1 = x - width * 0.24, x + width * 0.24
                self.rectangle(x0, y, x1, y + height, colour=shutters, relief=0.06)
                for slat in np.arange(y + 0.1, y + height - 0.05, 0.16):
                    self.line(
                        np.array([[x0 + 0.05, slat], [x1 - 0.05, slat]]),
                        0.05,
                        shade(shutters, 0.75),
                    )
        if m > 0:
            self.polygon(
                arch(cx, y - m * 0.3, width + 2 * m, height + m * 1.3, kind),
                colour=vary(self.rng, trim, 0.02),
                relief=0.1,
            )
        self.polygon(arch(cx, y, width, height, kind), colour=shade(trim, 0.55), relief=-0.25)
        inset = min(0.09, width * 0.08)
        inner = arch(cx, y + inset, width - 2 * inset, height - 2 * inset, kind)
        self.panes(inner)
        thickness = max(0.05, width * 0.045)
        self.line(inner, thickness, frame, -0.24, 0, closed=True)
        across, up = bars
        for bar in range(1, across):
            x = cx - width / 2 + width * bar / across
            top = height - inset
            if kind == "pointed":
                top = height * 0.8
            self.line(np.array([[x, y], [x, y + top]]), thickness, frame, -0.24, 0)
        for bar in range(1, up):
            level = y + height * bar / up
            if kind == "pointed" and bar / up > 0.7:
                continue
            self.line(
                np.array([[cx - width / 2 + inset, level], [cx + width / 2 - inset, level]]),
                thickness,
                frame,
                -0.24,
                0,
            )
        if kind == "pointed" and width > 0.9:
            self.tracery(cx, y, width, height, frame)
        if sill:
            self.rectangle(
                cx - width / 2 - m - 0.08,
                y - 0.22,
                cx + width / 2 + m + 0.08,
                y - 0.02,
                colour=shade(trim, 1.04),
                relief=0.25,
            )
        top = y + height + m
        span = width / 2 + m + 0.15
        if head == "ledge":
            self.rectangle(
                cx - span, top + 0.1, cx + span, top + 0.32, colour=shade(trim, 1.05), relief=0.35
            )
        elif head == "pediment":
            self.polygon(
                np.array([[cx - span, top], [cx + span, top], [cx, top + span * 0.62]]),
                colour=trim,
                relief=0.32,
            )
            self.polygon(
                np.array(
                    [
                        [cx - span * 0.6, top + 0.12],
                        [cx + span * 0.6, top + 0.12],
                        [cx, top + span * 0.48],
                    ]
                ),
                colour=shade(trim, 0.82),
                relief=0.1,
            )
        elif head == "arc":
            angles = np.linspace(0, np.pi, 13)
            arc = np.stack([cx + span * np.cos(angles), top + span * 0.5 * np.sin(angles)], 1)
            self.polygon(arc, colour=trim, relief=0.32)
            inner_arc = (arc - [cx, top]) * 0.68 + [cx, top + 0.06]
            self.polygon(inner_arc, colour=shade(trim, 0.85), relief=0.1)
        elif head == "keystone":
            self.polygon(
                np.array(
                    [
                        [cx - 0.12, top - m - 0.1],
                        [cx + 0.12, top - m - 0.1],
                        [cx + 0.2, top + 0.3],
                        [cx - 0.2, top + 0.3],
                    ]
                ),
                colour=shade(trim, 1.08),
                relief=0.25,
            )

    def tracery(self, cx: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Draw Gothic bar tracery into a pointed window: two lancets below a foiled circle."""
        thickness = max(0.07, width * 0.055)
        half = width / 2
        spring = y + height - width * 0.95
        for side in (-1, 1):
            outline = arch(cx + side * half / 2, y, half, spring - y + half * 0.45, "pointed")
            self.line(outline[1:], thickness, colour, -0.12, 0)
        radius = width * 0.2
        centre = spring + width * 0.42
        angles = np.linspace(0, 2 * np.pi, 24)
        circle = np.stack([cx + radius * np.cos(angles), centre + radius * np.sin(angles)], 1)
        self.line(circle, thickness, colour, -0.12, 0)
        for turn in np.arange(4) * np.pi / 2 + np.pi / 4:
            self.line(
                np.array(
                    [
                        [cx, centre],
                        [cx + radius * np.cos(turn), centre + radius * np.sin(turn)],
                    ]
                ),
                thickness * 0.7,
                colour,
                -0.14,
                0,
            )

    def rose(self, cx: float, cy: float, radius: float, stone: Colour, petals: int) -> None:
        """Draw a rose window of coloured glass."""
        for grow, out in ((1.16, 0.3), (1.1, 0.12), (1.04, 0.25)):
            self.disc(cx, cy, radius * grow, colour=shade(stone, 0.85 + out), relief=out)
        self.disc(cx, cy, radius, colour=(0.1, 0.11, 0.16), relief=-0.3, glass=200)
        glass = [(0.16, 0.2, 0.5), (0.5, 0.13, 0.15), (0.5, 0.4, 0.14), (0.14, 0.36, 0.3)]
        for ring, share in ((0.8, 0.5), (0.45, 0.45)):
            for petal in range(petals):
                turn = 2 * np.pi * (petal + (0.5 if ring < 0.5 else 0)) / petals
                x, y = cx + radius * ring * np.cos(turn), cy + radius * ring * np.sin(turn)
                size = radius * ring * np.pi / petals * share * 1.5
                pane = glass[int(self.rng.integers(len(glass)))]
                self.disc(x, y, size * 1.35, colour=shade(stone, 0.95), relief=-0.1, glass=0)
                self.disc(x, y, size, colour=vary(self.rng, pane, 0.2), relief=-0.3, glass=210)
        for petal in range(petals):
            turn = 2 * np.pi * (petal + 0.5) / petals
            ray = np.array([np.cos(turn), np.sin(turn)])
            centre = np.array([cx, cy])
            self.line(
                np.stack([centre + ray * radius * 0.16, centre + ray * radius]),
                radius * 0.06,
                stone,
                -0.05,
                0,
            )
        for ring in (0.2, 0.6, 0.98):
            angles = np.linspace(0, 2 * np.pi, 48)
            circle = np.stack(
                [cx + radius * ring * np.cos(angles), cy + radius * ring * np.sin(angles)], 1
            )
            self.line(circle, radius * 0.07, stone, -0.05, 0)
        self.disc(cx, cy, radius * 0.14, colour=(0.5, 0.36, 0.16), relief=-0.2, glass=220)

    def clock(self, cx: float, cy: float, radius: float, dial: Colour, hands: Colour) -> None:
        """Draw a clock face with its hours, at a time of its own."""
        gold = (0.72, 0.56, 0.22)
        self.disc(cx, cy, radius * 1.18, colour=shade(hands, 0.8), relief=0.25)
        self.disc(cx, cy, radius * 1.1, colour=gold, relief=0.3)
        self.disc(cx, cy, radius * 1.02, colour=dial, relief=0.12)
        for ring in (0.96, 0.68):
            angles = np.linspace(0, 2 * np.pi, 48)
            circle = np.stack(
                [cx + radius * ring * np.cos(angles), cy + radius * ring * np.sin(angles)], 1
            )
            self.line(circle, radius * 0.03, hands, 0.14)
        for hour in range(12):
            turn = np.pi / 6 * hour
            ray, side = (
                np.array([np.cos(turn), np.sin(turn)]),
                np.array([-np.sin(turn), np.cos(turn)]),
            )
            strokes = (-1, 0, 1) if hour % 3 == 0 else (-0.5, 0.5)
            for stroke in strokes:
                foot = np.array([cx, cy]) + side * radius * 0.06 * stroke
                self.line(
                    np.stack([foot + ray * radius * 0.71, foot + ray * radius * 0.92]),
                    radius * 0.05,
                    hands,
                    0.15,
                )
        time = self.rng.uniform(0, 12)
        for length, width, turn in (
            (0.55, 0.09, np.pi / 2 - time * np.pi / 6),
            (0.88, 0.06, np.pi / 2 - (time % 1) * 2 * np.pi),
        ):
            ray = np.array([np.cos(turn), np.sin(turn)])
            centre = np.array([cx, cy])
            self.line(
                np.stack([centre - ray * radius * 0.15, centre + ray * radius * length]),
                radius * width,
                hands,
                0.2,
            )
        self.disc(cx, cy, radius * 0.08, colour=gold, relief=0.25)

    def niche(self, cx: float, y: float, width: float, height: float, stone: Colour) -> None:
        """Draw a niche with a standing figure."""
        self.polygon(
            arch(cx, y, width * 1.25, height * 1.08, "round"),
            colour=shade(stone, 1.05),
            relief=0.12,
        )
        self.polygon(arch(cx, y, width, height, "round"), colour=shade(stone, 0.45), relief=-0.35)
        figure = vary(self.rng, shade(stone, 0.98), 0.06)
        lean = self.rng.uniform(-0.08, 0.08) * width
        robe = np.array(
            [
                [cx - width * 0.26, y + height * 0.06],
                [cx + width * 0.26, y + height * 0.06],
                [cx + width * 0.2 + lean, y + height * 0.62],
                [cx - width * 0.2 + lean, y + height * 0.62],
            ]
        )
        self.polygon(robe, colour=figure, relief=0.05)
        self.disc(cx + lean, y + height * 0.7, width * 0.15, colour=figure, relief=0.1)
        arm = self.rng.choice([-1, 1])
        self.line(
            np.array(
                [
                    [cx + lean, y + height * 0.56],
                    [cx + arm * width * 0.34, y + height * self.rng.uniform(0.35, 0.7)],
                ]
            ),
            width * 0.13,
            figure,
            0.1,
        )
        for fold in np.linspace(-0.15, 0.15, 3):
            self.line(
                np.array(
                    [
                        [cx + width * fold, y + height * 0.1],
                        [cx + width * fold * 0.5 + lean, y + height * 0.5],
                    ]
                ),
                width * 0.04,
                shade(figure, 0.7),
            )
        self.rectangle(
            cx - width * 0.5,
            y - height * 0.06,
            cx + width * 0.5,
            y + height * 0.05,
            colour=stone,
            relief=0.2,
        )

    def portal(
        self,
        cx: float,
        y: float,
        width: float,
        height: float,
        kind: str,
        stone: Colour,
        door: Colour,
        orders: int = 4,
    ) -> None:
        """Draw a doorway set back in several orders of arches, with a two-leaved wooden door."""
        for order in range(orders):
            grow = 1 + 0.42 * (orders - order) / orders
            tone = shade(stone, 1.06 if order % 2 == 0 else 0.78)
            self.polygon(
                arch(cx, y, width * grow, height * (1 + (grow - 1) * 0.55), kind),
                colour=tone,
                relief=0.25 - 0.16 * order,
            )
        self.polygon(arch(cx, y, width, height, kind), colour=shade(door, 0.5), relief=-0.5)
        leaf = height * (0.62 if kind != "rect" else 0.97)
        self.rectangle(cx - width * 0.47, y, cx + width * 0.47, y + leaf, colour=door, relief=-0.45)
        for x in np.linspace(-0.47, 0.47, 9):
            self.line(
                np.array([[cx + width * x, y], [cx + width * x, y + leaf]]),
                0.05,
                shade(door, 0.6),
                -0.5,
            )
        for level in (0.15, 0.5, 0.85):
            self.line(
                np.array(
                    [[cx - width * 0.45, y + leaf * level], [cx + width * 0.45, y + leaf * level]]
                ),
                0.1,
                shade(door, 0.45),
                -0.4,
            )
        if kind != "rect":
            for turn in np.linspace(0.15, 0.85, 5) * np.pi:
                self.line(
                    np.array(
                        [
                            [cx, y + leaf],
                            [
                                cx + width * 0.42 * np.cos(turn),
                                y + leaf + (height - leaf) * 0.8 * np.sin(turn),
                            ],
                        ]
                    ),
                    0.1,
                    stone,
                    -0.35,
                )
            self.rectangle(
                cx - width * 0.5,
                y + leaf - 0.1,
                cx + width * 0.5,
                y + leaf + 0.15,
                colour=stone,
                relief=-0.3,
            )

    def frieze(
        self, y: float, height: float, stone: Colour, x0: float = 0.0, x1: float | None = None
    ) -> None:
        """Carve a band of figures in relief."""
        x1 = self.width if x1 is None else x1
        self.rectangle(x0, y, x1, y + height, colour=shade(stone, 0.7), relief=-0.08)
        x = x0 + height * 0.2
        while x < x1 - height * 0.2:
            lean = self.rng.normal(0, 0.12) * height
            tone = vary(self.rng, stone, 0.05)
            body = np.array(
                [
                    [x - height * 0.1, y + height * 0.06],
                    [x + height * 0.1, y + height * 0.06],
                    [x + height * 0.12 + lean, y + height * 0.62],
                    [x - height * 0.12 + lean, y + height * 0.62],
                ]
            )
            self.polygon(body, colour=tone, relief=0.08)
            self.disc(x + lean, y + height * 0.76, height * 0.1, colour=tone, relief=0.12)
            for arm in (-1, 1):
                self.line(
                    np.array(
                        [
                            [x + lean, y + height * 0.55],
                            [
                                x + lean + arm * height * 0.24,
                                y + height * self.rng.uniform(0.25, 0.85),
                            ],
                        ]
                    ),
                    height * 0.09,
                    tone,
                    0.1,
                )
            x += height * self.rng.uniform(0.3, 0.55)

    def quoins(self, x: float, y0: float, y1: float, size: float, colour: Colour) -> None:
        """Draw corner stones, long and short in turn, on both sides of a vertical edge."""
        level, index = y0, 0
        while level < y1 - 0.05:
            half = size * (0.9 if index % 2 else 0.55)
            top = min(level + size * 0.55, y1)
            self.rectangle(
                x - half,
                level + 0.02,
                x + half,
                top - 0.02,
                colour=vary(self.rng, colour, 0.04),
                relief=0.06,
            )
            level += size * 0.55
            index += 1

    def checker(
        self, x0: float, y0: float, x1: float, y1: float, size: float, first: Colour, second: Colour
    ) -> None:
        """Inlay a band of lozenges in two colours."""
        self.rectangle(x0, y0, x1, y1, colour=first, relief=0.02)
        rows = max(1, round((y1 - y0) / size))
        step = (y1 - y0) / rows
        for row in range(rows):
            for x in np.arange(x0 + step / 2, x1, step):
                cy = y0 + (row + 0.5) * step
                half = step * 0.42
                self.polygon(
                    np.array([[x - half, cy], [x, cy - half], [x + half, cy], [x, cy + half]]),
                    colour=vary(self.rng, second, 0.05),
                    relief=0.0,
                )

    # -- finishing ------------------------------------------------------------------------------

    def finish(
        self,
        weathering: float = 0.08,
        repeat: bool = False,
        alpha: np.ndarray | None = None,
        bump: float = 1.0,
    ) -> Texture:
        """Return the texture: weathered colour, normals and occlusion out of the relief.

        `weathering` is the depth of stains and streaks, `bump` exaggerates the relief and `alpha`
        (uint8 [h, w]) cuts the texture out.
        """
        rows, columns = self.relief.shape
        colour = self.colour.astype(np.float32)
        if weathering > 0:
            patches = fractal_noise(self.rng, rows, columns, cells=3, octaves=5)
            streaks = fractal_noise(self.rng, rows, columns, cells=24, octaves=3, stretch=7)
            grain = self.rng.standard_normal((rows, columns), dtype=np.float32)
            factor = 1 + weathering * (
                0.55 * patches + 0.4 * np.minimum(streaks, 0.5) + 0.3 * grain
            )
            factor = np.where(self.glass > 0, 1 + (factor - 1) * 0.3, factor)
            colour *= factor[..., None]
        relief = cv2.GaussianBlur(self.relief, (0, 0), 0.8)
        # Recesses see less of the sky: their surroundings stand out above them.
        wide = cv2.GaussianBlur(relief, (0, 0), max(1.0, 0.35 * self.density))
        occlusion = 1 - 1.3 * np.clip(wide - relief, 0, 0.5)
        for reach in (0.12, 0.3, 0.7):
            shift = max(1, round(reach * self.density))
            if shift >= rows:
                continue
            above = np.empty_like(relief)
            above[shift:] = relief[:-shift]
            above[:shift] = relief[:shift] if not repeat else relief[-shift:]
            occlusion -= 0.32 * np.clip((above - relief) / (reach + 0.15), 0, 1)
        occlusion = np.clip(occlusion, 0.25, 1.0)
        slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) / 8 * self.density * bump
        slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3) / 8 * self.density * bump
        length = np.sqrt(1 + slope_x**2 + slope_y**2)
        detail = np.empty((rows, columns, 4), np.uint8)
        detail[..., 0] = np.clip(128 - 120 * slope_x / length, 0, 255)
        # Image rows run downwards, the texture's second axis upwards.
        detail[..., 1] = np.clip(128 + 120 * slope_y / length, 0, 255)
        detail[..., 2] = self.glass
        detail[..., 3] = np.round(occlusion * 255)
        final = np.clip(colour, 3, 252).astype(np.uint8)
        return Texture(
            mip_levels(final),
            mip_levels(detail),
            None if alpha is None else mip_levels(alpha),
            repeat,
        )
