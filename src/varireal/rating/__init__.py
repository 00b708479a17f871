"""The blind rating of edits by people: which are shown, how answers are kept, and how far they agree."""
