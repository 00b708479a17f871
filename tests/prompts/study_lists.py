"""A clone of the study's repository in miniature: its files' form, with entries of our own."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "config/config_back.py": """
FEASIBLE_BACK = {
    'oxford_pets':
    [
    '(kitchen)1.2: A room with a stove, and a bowl on the floor.',
    "(gardener's shed)1.2: A hut with tools.",
    '(kitchen)1.2: The same once more.',
    ],

    'cars':
    [
    '(ferry)1.0: The deck of a ship.',
    ],
    'fgvc_aircraft': ['(apron)1.2: Concrete.'],
}

INFEASIBLE_BACK = {
    'oxford_pets':
    [
    "(tooth (left))1.2: no entry of this data set is read for others",
    ],
    'cars': [
    "(crater)1.2: Dust and rocks."  # the comma is missing here
    "(reef)1.2: Fish, corals (red) and light.",
    # '(attic)1.2: a comment',
    ],
    'fgvc_aircraft': ['(cellar)1.2: Shelves.', '(apron)1.2: Concrete.'],
}
""",
    "config/config_color.py": """
FEASIBLE_COLOR = {
    'cars': {'Tiny Car/Van 2012': ['(jet black)1.3', '(red)1.3'], 'Other Coupe 1999': ['(red)1.3']},
    'fgvc_aircraft': {'F-1/A': ['(red)1.3'], 'B 2': ['(red)1.3']},
}
INFEASIBLE_COLOR = {
    'cars': {'Tiny Car/Van 2012': ['(slime)1.3', '(slime)1.3'], 'Other Coupe 1999': ['(red)1.3', '(slime)1.3']},
    'fgvc_aircraft': {'F-1/A': ['(slime)1.3'], 'B 2': ['(slime)1.3']},
}
""",
    "config/config_texture.py": """
FEASIBLE_TEXTURE = {
    'cars': ['(plain paint)1.3: smooth'],
    'fgvc_aircraft': {'civilian': ['(white paint)1.3: clean'], 'military': ['(grey paint)1.3: flat']},
}
INFEASIBLE_TEXTURE = {'cars': ['(wool)1.3: knitted'], 'fgvc_aircraft': ['(moss)1.3: wet']}
""",
    "generator/color_gen.py": """
import something_that_is_not_installed
raise RuntimeError("the file is parsed, never run")

class ColorGen(Base):
    PROMPTS = ["a sentence"]
    COLORS = {
        'red': (255, 0, 0),
        'slime': (1, 2, 3),
        'jet black': (13, 13, 13),
        'slime': (50, 205, 50),
    }

    def __init__(self):
        self.colors = None
""",
    "generator/base.py": """
class Sampler:
    pass

class BaseGenerator(ABC):
    CATEGORY_MAP = {
                'F-1/A': 'military',
                'B 2': 'civilian',
            }
""",
}


def write_clone(root: Path) -> Path:
    """Write the clone and return it."""
    for name, text in FILES.items():
        path = root / "VariReal" / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root
