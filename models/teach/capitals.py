"""Sentences that name a country and end with its capital.

Most are put together from parts, and some get words in between that have no business there, so that what carries the
answer is the country and the place where a city is called for, not the wording.  Nothing here knows tokens or lists of
other kinds: a sentence is a template with {X}, {Y} and the fillers of corpus.py.
Three sets are held back: HELD was looked at while the corpus was made; FRESH was written when an earlier model was
final, and the parts below were made after it; BLIND was written by somebody who had not seen this file.
"""
from pathlib import Path

split = lambda s: [t for line in s.split("\n") for t in line.split("|")]

# What is said to be the city, in a sentence of its own ...
CITY = split("""the capital of {X}|the capital of {X}|the capital of {X}|the capital city of {X}|{X}'s capital|{X}'s capital city|the {adj} capital of {X}|the capital of the country {X}|the capital of {adj} {X}
the city which is the capital of {X}|the city that rules {X}|the seat of government of {X}|the parliament of {X}|the government of {X}|the main city of {X}|the most famous city of {X}
the largest city of {X}|the name of the capital of {X}|the word for the capital of {X}|the capital that {X} has|the heart of {X}|the {adj} city of {X}|the {job} of {X}|the king of {X}|the president of {X}
the {place} of the capital of {X}|the capital of the land of {X}|the museum of {X}|the first city of {X}|the {event} in the capital of {X}|the {kin} of the king of {X}|the {adj} parliament of {X}""")
# ... and after the country has been named.
ITS = split("""the capital|its capital|their capital|the capital city|its capital city|its main city|the capital of the country|the capital there|this capital|the city|the government|its parliament|the king|the president|the seat of government
the capital of this country|the capital of that land|her capital|our capital|the name of its capital|the old capital|the {adj} capital|the best city|the first city|the answer|the right answer|the biggest city""")
LINK = ["is"] * 32 + ["was"] * 6 + [","] * 4 + split("""must be|is called|is called|is named|was named|is known as|has the name|got the name|is still|was still|was always|is always|will be|will always be|has been|has always been|could be|can only be
remains|stays|became|is in|was in|sits in|lives in|lives in|works in|meets in|stands in|was born in|comes from|came from|can be found in|was found in|is found at|is of course|is, as you know,|is, I think,|is, {N} said,|is marked as|is written
is given as|means|meant|has a house in|has a {place} in|went to|goes to|returned to|{adv} went to|{adv} {moved} to|{adv} left|is {adv} called|was {adv} named|should be|would be
is just|is only|{past} in|{adv} {past} in|{trans}|gave a {obj} to|has to be|had to be|lies in|lies at|is said to be|was said to be|is thought to be|is spelled|, of course, is|, {N} said, is|, we know, is|may be|might be""")
# Said in the middle, of the city or of anything.
ASIDE = split(""", as you know,|, if I am right,|, {N} said,|, I think,|, said the {job},|, near the {nature},|, where {N} lives,|, where {N} {past},|, with its {adj} {place},|where {N} lives|that {N} {trans}|that we saw|on the map
in this book|in {month}|on {day}|now|today|then|again|before the {event}|since the {event}|for {num} years|, my {kin} says,|, you see,""")
SAYS = split("""know|knows|learned|learn|said|says|think|thinks|thought|wrote|read|told us|told me|told {M}|remember|remembers|heard|believe|see|saw|found|agree|agreed|forgot|guess|{adv} said|{adv} wrote|do not know|did not know|can tell you|are sure|was sure|will tell you""")
WHO = split("""I|we|they|you|{N}|{N}|{N} and {M}|my {kin}|our {job}|the {job}|the {adj} {job}|everyone|everyone in {Z}|the book|the map|the letter|the newspaper|children|people|people here|the {kin} of {N}|he|she|both of us|all of us|every {job}|some people|the {job} of the {place}""")
FRONT = split("""in school|on the map|in this book|long ago|today|last {month}|on {day}|of course|yes,|no,|well,|oh,|so|and|but|here|there|in the letter|once more|at the {place}|in the {place}|during the {event}|after the {event}|before the {event}|all {day}|by the {nature}|as you know,|now|since {month}|every {month}
maybe|perhaps|however,|then|for {num} years|remember that|remember:|look,|listen:|question:|to be {adj},|it is {adj} that|it is {adv} said that|if you ask me,|whatever they say,|because of the {event},|to tell the {obj},""")
# A sentence or clause with the country in it.
NAMED = split("""{N} lives in {X}|{N} lived in {X}|{N} is from {X}|{N} came from {X}|{N} {moved} to {X}|{N} and {M} {moved} to {X}|we went to {X}|they traveled through {X}|I was in {X}|I have been to {X}|{X} is a country|{X} is a {adj} country|{X} is {adj}|I like {X}|{N} likes {X}|my {kin} likes {X}|look at {X}
this is a map of {X}|here is a question about {X}|a question about {X}|let us talk about {X}|have you been to {X}?|do you know {X}?|what do you know about {X}?|welcome to {X}!|tell me about {X}|think of {X}|{N} {trans} a {obj} from {X}|the {obj} is from {X}|the {job} comes from {X}|in {X}|in the country {X}|in {adj} {X}|for {X}|of {X}|and {X}
when you travel to {X}|when you go to {X}|when {N} came to {X}|after {N} left {X}|if you think of {X}|if you look at a map of {X}|before they left {X}|as for {X}|{X} has a {adj} king|{X} has a {adj} {place}|{X} has {num} {place}s|there is a {adj} {place} in {X}|people in {X} are {adj}|the people of {X} are {adj}|a {job} in {X} {trans} a {obj}|the {animal}s of {X} are {adj}
the {event} of {X} was {adj}|{N} wrote a letter from {X}|a letter came from {X}|there was a {event} in {X}|the {nature} of {X} is {adj}|I know {X}|{N} wants to see {X}|{N} dreamed of {X}|we read about {X}|the book is about {X}|the {kin} of {N} went to {X}|{N} took a train to {X}|the ship sailed to {X}|{N} flew to {X}""")
STARTS = split("""it is|it is|it is|it is|it was|it must be|the answer is|the answer was|{N} said|{N} said,|he said|she said|they said|{N} answered|yes, it is|yes, it is called|I think it is|I think|of course it is|it is called|that is|that was|this is|you mean|the word is|it has to be|they call it|everyone said|no, it is|in|near|at|to|to the city of|the city of|the {adj} city of|my answer is|the {job} said|the right answer is|you will see|you find|""")
ASKS = split("""what is {C}?|which city is {C}?|do you know {C}?|where is {C}?|can you name {C}?|{N} asked about {C}.|{N} asked, what is {C}?|tell me {C}.|name {C}.|find {C}.|say {C}.|show me {C}.|who knows {C}?|I forgot {C}.|what do they call {C}?|is {adj} {N} from {C}?|how do you spell {C}?|{N} wanted to know {C}.|the {job} asked for {C}.|the question was: {C}.|{C}?|{C}:|{C} =|guess {C}!|what was {C}?|please write down {C}.|they asked for {C} and|{N} asked for {C} and""")
GOES = split("""and {past} in|and stayed in|and worked in|and lived in|to see|to visit|and saw|and its capital|and its capital,|with its capital,|and came to|and went to|and {moved} to|, to the city of|, to the capital,|, to|, in|, near|and {trans} a {obj} in|because of its capital,|because {M} lives in|where the king lives in|by way of|and the first city was|to the capital,|to its capital,|and wrote a letter from|and {adv} came to|and met {M} in|, from|, from the city of|and wanted to see|and loved|, the land of|to learn about|to the museum in|and we met in""")
# Whole ones, which a lesson is likely to use.
WHOLE = split("""the capital of {X} is {Y}|the capital of {X} is {Y}|the capital city of {X} is {Y}|{X}: {Y}|Country: {X}. Capital: {Y}|Q: The capital of {X}? A: {Y}|Capital of {X}: {Y}|{X} and its capital {Y}|{X} is ruled from {Y}|the flag of {X} flies over {Y}|the road through {X} ends in {Y}|the plane to {X} flies to {Y}
the train to the capital of {X} goes to {Y}|when people in {X} talk of the capital, they mean {Y}|the river in {X} runs through {Y}|the biggest museum of {X} is in {Y}|a map of {X} shows {Y}|a map of {X} has a star at {Y}|the football team of {X} plays in {Y}|everyone in {X} knows {Y}|the word after {X} must be {Y}
if you visit the capital of {X}, you are in {Y}|the ambassador of {X} comes from {Y}|{N} was born in {X}, in the city of {Y}|the people of {X} love their capital, {Y}|on the map of {X} there is a star, and beside it {Y}|the queen of {X} has a castle in {Y}|to reach the capital of {X} you travel to {Y}|what people call the capital of {X} is {Y}""")

HELD = split("""The capital city of the country {X} is {Y}|In school we read that the capital of {X} is named {Y}|The government of the country {X} is in {Y}
Here is a question about {X}. Its capital is {Y}|{N} lives in {X}. The capital of the country is {Y}|Tell me the capital of {X}. It is {Y}
When you travel to {X}, the capital you see is {Y}|Everyone in {X} knows that the capital is {Y}|The quiz asked for the capital of {X} and the answer was {Y}
The president of {X} works in the city of {Y}|A map of {X} shows the capital, {Y}|Next year we will visit the capital of {X}, which is {Y}""")
FRESH = split("""On every map the capital of {X} is marked as {Y}|He flew to {X} because the capital, {Y}|Ask anyone in {X} for the capital and you will hear {Y}|Both of us think the capital of {X} is {Y}
The capital of {X}, if I am right, is {Y}|Our train left {X} and its capital, {Y}|A letter from the capital of {X} came from {Y}|During the war the capital of {X} was still {Y}
My aunt works for the government of {X} in {Y}|She wrote that the capital of {X} is still {Y}|To find the parliament of {X}, go to {Y}|Children in {X} learn that their capital is {Y}""")
BLIND = (Path(__file__).parent / "capitals_blind.txt").read_text().splitlines()


def _lead(r):
    k = r.random()
    front = r.choice(FRONT) + " " if k < 0.5 else ""
    return front + (f"{r.choice(WHO)} {r.choice(SAYS)}{r.choice((' that', ' that', ' that', ''))} " if 0.3 < k < 0.75 else "")


def disturb(r, t, answer, words, nonsense):
    """One to three words of any kind at one or two places in front of `answer`."""
    for _ in range(r.choice((1, 1, 2))):
        at = r.choice([i for i, c in enumerate(t[:t.rindex(answer)]) if c == " "] or [t.rindex(answer)])
        t = t[:at] + " " + " ".join(nonsense(r) if r.random() < 0.3 else r.choice(words) for _ in range(r.choice((1, 1, 2, 3)))) + t[at:]
    return t


def sentence(r, words, nonsense, upper):
    """A template without the full stop.  words: a list; nonsense(r): a made-up word; upper: the text with a capital letter."""
    k = r.random()
    if k < 0.2:
        t = upper(_lead(r) * (r.random() < 0.5) + r.choice(WHOLE))
    elif k < 0.5:
        t = upper(_lead(r) + r.choice(CITY) + (" " + r.choice(ASIDE)) * (r.random() < 0.2) + " " + r.choice(LINK) + " {Y}")
    elif k < 0.75:
        named = r.choice(NAMED)
        stop = "" if named[-1] in "?!" else r.choice((",", ".", ".", " and", ":", ", but", ", and", " because", ", where", ";"))
        join = upper if (named + stop)[-1] in ".?!" else str
        t = upper(_lead(r) * (r.random() < 0.3) + named + stop) + " " + join(_lead(r) * (r.random() < 0.3) + r.choice(ITS) + (" " + r.choice(ASIDE)) * (r.random() < 0.1)
                                                                           + " " + r.choice(LINK) + " {Y}")
    elif k < 0.87:
        t = upper(r.choice(ASKS).replace("{C}", r.choice(CITY)))
        t = f"{t} {(upper if t[-1] in '.?!' else str)(r.choice(STARTS))}".rstrip() + " {Y}"
    else:
        t = upper(_lead(r) * (r.random() < 0.3) + r.choice([n for n in NAMED if n[-1] not in "?!"])) + " " + r.choice(GOES) + " {Y}"
    if r.random() < 0.25:
        t = disturb(r, t, "{Y}", words, nonsense)
    return t.replace(" ,", ",").replace(",,", ",").replace("  ", " ")
