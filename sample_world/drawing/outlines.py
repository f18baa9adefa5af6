"""Outlines of what is drawn: circles and the heads of openings."""

from __future__ import annotations

import numpy as np


def ring(cx: float, cy: float, radius: float, count: int, endpoint: bool = True) -> np.ndarray:
    """Return points [count, 2] around a circle, the first one at its right."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=endpoint)
    return np.stack([cx + radius * np.cos(angles), cy + radius * np.sin(angles)], 1)


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
