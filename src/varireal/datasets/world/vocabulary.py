"""The words of the rendered aircraft world: classes, colours, materials and places, and which of them are feasible.

Light on purpose (no numpy, no cv2): prompt banks, captions and validation need the words but not the renderer.
"""

from varireal.errors import UserError

DOMAIN_WORD = "aircraft"

#: What tells each class from the others, in words (captions for pretraining a CLIP).
STRUCTURE: dict[str, str] = {
    "twin-engine jetliner": "two big engines under low swept wings, conventional tail",
    "four-engine jetliner": "four engines under low swept wings, upper deck hump, conventional tail",
    "trijet": "two engines under low swept wings and a third engine at the base of the fin",
    "regional jet": "long slender fuselage with many windows, two engines at the rear fuselage, T-tail",
    "business jet": "short fuselage with few windows, two big engines at the rear fuselage, T-tail, winglets",
    "twin turboprop": "high straight wing with two propellers, T-tail",
    "bush plane": "high wing on struts, nose propeller, big wheels, tail wheel",
    "trainer plane": "low straight wing, bubble canopy, nose propeller, nose wheel",
    "biplane": "two stacked wings joined by struts, nose propeller, open cockpit",
    "glider": "very long thin wings, slim fuselage without engine, T-tail",
}
CLASSES: tuple[str, ...] = tuple(STRUCTURE)

#: sRGB values in 0..255; far enough apart in Lab that shading does not confuse them.
COLORS: dict[str, tuple[int, int, int]] = {
    "white": (240, 240, 242),
    "silver": (150, 156, 164),
    "navy blue": (28, 42, 108),
    "red": (198, 26, 32),
    "yellow": (244, 208, 40),
    "sky blue": (104, 172, 236),
    "neon pink": (255, 48, 170),
    "lime": (120, 240, 40),
    "purple": (128, 40, 188),
    "orange": (248, 124, 20),
    "turquoise": (28, 200, 186),
    "brown": (108, 66, 36),
}
FEASIBLE_COLORS = ("white", "silver", "navy blue", "red", "yellow", "sky blue")
INFEASIBLE_COLORS = ("neon pink", "lime", "purple", "orange", "turquoise", "brown")

FEASIBLE_MATERIALS = ("riveted metal", "carbon fiber", "camouflage")
INFEASIBLE_MATERIALS = ("brick", "wooden", "checkered", "zebra", "marble", "polka dot", "grass")
MATERIALS: tuple[str, ...] = FEASIBLE_MATERIALS + INFEASIBLE_MATERIALS

#: Place name -> the phrase a prompt uses for it.
PLACES: dict[str, str] = {
    "runway": "on a runway",
    "blue sky": "in a clear blue sky",
    "clouds": "above the clouds",
    "sunset": "in a sunset sky",
    "grass field": "on a grass field",
    "mountains": "in front of snowy mountains",
    "desert": "in the desert",
    "city": "in front of a city skyline",
    "under water": "under water",
    "outer space": "in outer space",
    "lava": "on a lava field",
    "library": "in a library",
    "carpet": "on a living room carpet",
    "kitchen": "on a kitchen tile floor",
    "bamboo": "in a bamboo forest",
    "chessboard": "on a chessboard",
}
FEASIBLE_PLACES = tuple(PLACES)[:8]
INFEASIBLE_PLACES = tuple(PLACES)[8:]


def check_word(kind: str, word: str, allowed: tuple[str, ...]) -> str:
    """Return `word` if it belongs to `allowed`.

    Raises:
        UserError: naming the kind, the bad word and every allowed one.
    """
    if word not in allowed:
        raise UserError(f"unknown {kind} {word!r} in the rendered world; choose one of: {', '.join(allowed)}")
    return word
