"""The small WordPiece vocabulary and BERT-uncased tokenisation of captions such as "arm . back . leg . "."""

import re
import unicodedata

PART_NAMES = """arm back base blade body bulb button camera cap container cord display door drawer footpedal frame
handle hand head key keyboard knob leg lens lid rotation screen screw seat shade shaft slider sphere spout support switch
tabletop touchpad wheel window""".split()

# Other ways to say the same; a training prompt uses one of them now and then.
SYNONYMS = {
    "arm": ["armrest", "arm rest"], "back": ["backrest", "back rest"], "base": ["foot", "stand"], "body": ["case"],
    "bulb": ["lamp", "light"], "button": ["push button"], "cap": ["cover"], "container": ["vessel"],
    "cord": ["cable"], "display": ["panel"], "drawer": ["drawer box"], "footpedal": ["pedal", "foot pedal"],
    "frame": ["door frame"], "handle": ["grip", "pull"], "knob": ["dial"], "leg": ["table leg"], "lens": ["camera lens"],
    "lid": ["top cover"], "screen": ["monitor"], "screw": ["bolt"], "seat": ["cushion"], "shade": ["lamp shade", "lampshade"],
    "spout": ["nozzle"], "switch": ["lever"], "tabletop": ["table top"], "wheel": ["caster", "roller"],
}

# Words that no training part bears: they serve as names of what is not there, and keep common words in one piece.
OTHER_WORDS = """the a an of and with on in left right front rear upper lower side inner outer small large big round square
flat long short wood wooden metal plastic glass fabric leather black white red green blue chair table sofa couch bed bench
stool desk cabinet cupboard wardrobe shelf bookshelf rack storage furniture box bucket bottle kettle pot pan cup mug bowl
plate jar vase cart trolley stapler scissors knife pen pencil phone laptop computer printer mouse remote clock watch globe
faucet tap sink toilet oven stove microwave refrigerator fridge freezer dishwasher washing machine toaster coffee maker
dispenser trash can bin suitcase bag safe lock hinge key hole eyeglasses glasses lighter pliers hammer usb plug socket car
bike door window wall floor ceiling ladder fan mirror picture ring strap belt zipper pocket edge corner rim neck tip
bottom top middle rod bar beam pillar post pole plank board pad mat pillow tray tank tube pipe hose valve filter motor
engine battery antenna speaker microphone sensor wire rope chain spring gear axle bearing brake sign label logo text hook
nail clip pin tooth teeth blade eye ear nose mouth finger face tail wing leaf branch stem root fruit flower dog cat bird
person house tree tire spoke saddle pedal basket grid net curtain lamp foot stand cover""".split()

PIECES = """##s ##es ##er ##ers ##ing ##ed ##ly ##y ##top ##pad ##pedal ##board ##rest ##shade ##stand ##case ##box ##let
##hole ##piece ##work ##wheel ##handle ##door ##cap ##lid ##or ##al ##le ##el ##en ##on ##in ##an ##ar ##at ##it ##ion
##tion ##ment ##ness ##ble ##able ##ful ##ic ##ive ##ous ##ant ##ent ##st ##th ##ch ##sh ##ck ##ng ##nd ##nt ##rd ##ll
##ss ##ee ##oo ##ea ##ou ##ai""".split()


def build_vocabulary():
    """List of tokens; the position is the id."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "."]
    tokens += list("!\"#$%&'()*+,-/:;<=>?@[\\]^_`{|}~") + list(characters) + ["##" + c for c in characters]
    tokens += PART_NAMES + sorted(w for names in SYNONYMS.values() for n in names for w in n.split()) + OTHER_WORDS
    tokens += [w + "s" for w in PART_NAMES] + PIECES
    return list(dict.fromkeys(tokens))


class Tokenizer:
    """BERT-uncased basic tokenisation followed by greedy longest-match WordPiece."""

    def __init__(self, vocabulary):
        self.ids = {token: i for i, token in enumerate(vocabulary)}

    def words(self, text):
        text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        return re.findall(r"[^\W_]+|[^\w\s]|_", text)

    def encode(self, text):
        out = []
        for word in self.words(text):
            pieces, start = [], 0
            while start < len(word):
                for end in range(len(word), start, -1):
                    piece = ("##" if start else "") + word[start:end]
                    if piece in self.ids:
                        pieces.append(self.ids[piece])
                        start = end
                        break
                else:
                    pieces, start = [self.ids["[UNK]"]], len(word)
            out += pieces
        return out

    def caption(self, names):
        """Token ids of "[CLS] name . name . [SEP]" and, for each name, its (first, last + 1) token positions."""
        ids, spans = [self.ids["[CLS]"]], []
        for name in names:
            tokens = self.encode(name)
            spans.append((len(ids), len(ids) + len(tokens)))
            ids += tokens + [self.ids["."]]
        return ids + [self.ids["[SEP]"]], spans
