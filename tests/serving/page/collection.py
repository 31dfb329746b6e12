"""The documents that the page's tests search."""

from __future__ import annotations

HOSTILE_ID = "\"><script>window.ran = 'id'</script>"
HOSTILE_TITLE = "<script>window.ran = 'title'</script> quince"
HOSTILE_TEXT = (
    "<img src=x onerror=\"window.ran = 'img'\"><svg onload=\"window.ran = 'svg'\"></svg>"
    "<a href=\"javascript:window.ran = 'link'\">quince</a> {{7*7}} ${window.ran = 'template'} "
    "marmalade \u202emoc.elpmaxe\u202c of \u2066quince\u2069 \u0007 jelly"
)
FILLER = "The committee met on Tuesday and spoke about the budget of the town. " * 40
LONG_TEXT = FILLER + "A volcano erupted with lava and ash over the island. " + FILLER

DOCUMENTS = (
    {
        "_id": "apple",
        "title": "Apple",
        "text": "An apple is a sweet red fruit that grows on trees in the orchard.",
        "year": 2001,
        "kind": "fruit",
    },
    {
        "_id": "emoji",
        "title": "Pie 🍎",
        "text": "🍎🍎🍎 We baked an apple pie with cinnamon 🥧.",
        "year": 2002,
        "kind": "recipe",
    },
    {
        "_id": "pear",
        "title": "Pear",
        "text": "A pear is a sweet green fruit with a soft core.",
        "year": 2003,
        "kind": "fruit",
    },
    {
        "_id": "car",
        "title": "Cars",
        "text": "Automobiles and trucks drive on roads. A vehicle needs a motor.",
        "year": 2004,
        "kind": "a|b",
    },
    {"_id": "long", "title": "Minutes", "text": LONG_TEXT, "year": 2005, "kind": "minutes"},
    {
        "_id": HOSTILE_ID,
        "title": HOSTILE_TITLE,
        "text": HOSTILE_TEXT,
        "year": 2006,
        "kind": "<b onclick=alert(1)>bold</b>",
    },
    *(
        {
            "_id": f"lesson-{i:02}",
            "title": f"Lesson {i}",
            "text": f"The teacher explains grammar to pupils in lesson {i} at school.",
            "year": 2010 + i,
            "kind": "lesson",
        }
        for i in range(23)
    ),
)
