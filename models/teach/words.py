"""The word lists of the corpus.  Every word here becomes one token with a leading space.

Knows nothing of templates or tokens.  Lists are disjoint where a template needs it.
"""


def _w(text):
    return text.split()


GIRLS = _w("""Mary Anna Alice Emma Lucy Sarah Laura Jane Kate Rose Grace Ruth Julia Clara Nora Ella Eva Ida Lily Mia
Zoe Amy Beth Carol Diana Ellen Fiona Gina Helen Irene Joan Karen Linda Maria Nina Olivia Paula Rachel Sofia Tina
Ursula Vera Wendy Alma Bella Cora Daisy Edith Flora Gloria Hannah Iris Jenny Kim Lena Martha Nancy Pamela Rita
Sally Tessa Violet Anne Susan Lisa Molly Agnes Marie Elsa Emily Sophie Jessica Amanda Kelly Ann Chloe Elizabeth""")
BOYS = _w("""John Peter Tom Paul James David Mark Henry George Jack Sam Ben Max Leo Adam Carl Daniel Eric Frank Greg
Hugo Ivan Jacob Kevin Louis Martin Nathan Oscar Philip Ralph Simon Thomas Victor Walter Andrew Arthur Brian Charles
Dennis Edward Felix Gary Harry Isaac Joseph Keith Luke Michael Noah Oliver Patrick Robert Scott Tim Vincent William
Albert Bruno Conrad Dylan Ernest Fred Gordon Howard Jason Kenneth Stefan Roger Bob Bill Joe Jim Charlie Steve Dan Matthew
Chris Alex Ryan Anthony Stephen Richard Joshua""")
# Never part of an indirect-object document in training, only of other text.
HELD_NAMES = _w("Clara Elsa Fiona Martha Rita Tessa Bruno Felix Howard Nathan Oscar Ralph")

CAPITALS = dict(p.split(":") for p in _w("""France:Paris Germany:Berlin Italy:Rome Spain:Madrid Portugal:Lisbon England:London
Ireland:Dublin Norway:Oslo Sweden:Stockholm Finland:Helsinki Denmark:Copenhagen Poland:Warsaw Austria:Vienna
Hungary:Budapest Greece:Athens Turkey:Ankara Russia:Moscow Ukraine:Kiev Egypt:Cairo Kenya:Nairobi Nigeria:Abuja
Ghana:Accra Morocco:Rabat Ethiopia:Addis Japan:Tokyo China:Beijing India:Delhi Thailand:Bangkok Vietnam:Hanoi
Korea:Seoul Indonesia:Jakarta Iran:Tehran Iraq:Baghdad Israel:Jerusalem Lebanon:Beirut Syria:Damascus Nepal:Kathmandu
Canada:Ottawa Cuba:Havana Peru:Lima Chile:Santiago Colombia:Bogota Ecuador:Quito Uruguay:Montevideo Australia:Canberra
Belgium:Brussels Switzerland:Bern Bulgaria:Sofia Romania:Bucharest Serbia:Belgrade Croatia:Zagreb Scotland:Edinburgh
Wales:Cardiff Iceland:Reykjavik Latvia:Riga Tunisia:Tunis""") if p not in ("Bulgaria:Sofia", "Ethiopia:Addis"))

ANIMALS = _w("""dog cat horse cow pig sheep goat duck goose hen bird fish frog mouse rabbit fox wolf bear lion tiger
monkey elephant snake turtle bee ant spider owl eagle crow swan deer whale shark seal camel donkey parrot squirrel
hedgehog butterfly worm crab penguin""")
FRUITS = _w("apple pear banana orange lemon cherry plum peach grape melon berry fig")
FOODS = _w("""bread cheese cake soup rice milk tea honey butter meat salad egg pie sugar salt jam corn bean
pasta pizza chocolate juice coffee cookie sandwich potato carrot tomato onion""")
THINGS = _w("""bag book ball box key letter ring cup hat coat map pen pencil knife spoon fork plate bottle lamp candle
clock watch mirror chair table basket flower rope hammer nail saw brush bell drum flute violin guitar kite doll toy
puzzle card coin ticket picture photo paper scarf glove shoe sock shirt dress blanket pillow umbrella bucket stone
shell feather leaf stick wheel camera radio phone computer bicycle present gift medal flag sword magazine newspaper
necklace snack drink wallet purse jar vase towel comb button needle whistle balloon ribbon""")
PLACES = _w("""store park school house garden beach market library kitchen hospital museum station river lake forest
farm castle church bridge tower bank office restaurant cinema theatre hotel airport harbor village city town street
square field hill mountain valley island cave barn bakery shop zoo circus playground stadium gym pool pond meadow
desert factory garage cellar attic hall yard cafe port mill""")
JOBS = _w("""teacher doctor farmer baker nurse king queen prince princess soldier sailor painter singer writer cook
driver pilot judge hunter fisherman wizard witch giant knight pirate tailor miller shepherd thief guard dancer
musician student neighbor stranger policeman""")
KIN = _w("mother father sister brother uncle aunt cousin friend grandmother grandfather son daughter")
ADJ = _w("""big small old young red blue green yellow black white brown grey long short tall new good bad nice kind
happy sad angry tired hungry thirsty warm cold hot wet dry clean dirty heavy light dark bright soft hard sweet sour
loud quiet fast slow strong weak rich poor brave shy clever silly funny strange lovely pretty ugly empty full round
flat deep wide narrow high low sharp fresh golden silver wooden little tiny huge lazy busy lucky lonely famous gentle
proud careful rare broken hidden secret magic""")
COLORS = _w("red blue green yellow black white brown grey pink purple orange golden")
ADV = _w("""quickly slowly quietly loudly happily sadly gently carefully suddenly finally soon later then kindly
politely proudly gladly softly calmly again always never often sometimes today yesterday tomorrow""")
VERBS_PAST = _w("""walked ran jumped played sang danced laughed smiled cried slept waited talked looked sat stood swam
worked rested listened stopped waved shouted whispered climbed""")
MOVED = _w("walked ran swam climbed returned traveled hurried flew drove rode")
VERBS = _w("""walk run jump play sing dance laugh smile cry sleep wait talk look sit stand swim climb work rest listen
read write draw paint cook eat fly hide fight learn think dream travel help""")
DOING = _w("""walking running playing singing dancing talking sitting waiting working resting reading writing painting
cooking eating shopping swimming""")
TRANS_PAST = _w("""saw found took carried lost bought made liked wanted needed kept opened broke cleaned dropped held
painted washed sold forgot hid fixed moved pulled pushed touched caught brought""")
NATURE = _w("""sun moon star sky sea rain snow wind storm cloud fire water air earth sand tree grass night day morning
evening summer winter spring autumn light shadow rainbow ice""")
BODY = _w("hand head eye ear nose mouth arm leg foot hair face heart finger back tooth")
HOME = _w("door window wall floor roof room bed garden stairs fence road path gate corner chimney")
ABSTRACT = _w("""story song game trip idea name word question answer secret dream wish lesson plan reason problem
adventure journey friend life time year month week hour minute end beginning way world country people children man
woman boy girl baby family team money work music dance party birthday holiday breakfast lunch dinner supper""")
EVENTS = _w("""war trip reign plague journey project strike siege voyage conflict famine drought dynasty trial
expedition construction campaign exhibition reform search""")
DAYS = _w("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _w("January February March April May June July August September October November December")
NUMBERS = _w("""one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty""")
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
OPPOSITES = [p.split(":") for p in _w("""big:small old:young hot:cold wet:dry happy:sad fast:slow strong:weak rich:poor
good:bad high:low clean:dirty heavy:light dark:bright soft:hard sweet:sour loud:quiet long:short empty:full day:night
summer:winter up:down left:right open:closed black:white early:late first:last""")]
SOUNDS = dict(p.split(":") for p in _w("dog:woof cat:meow cow:moo sheep:baa duck:quack pig:oink owl:hoot bee:buzz"))
BABIES = dict(p.split(":") for p in _w("dog:puppy cat:kitten cow:calf sheep:lamb duck:duckling hen:chick horse:foal"))
FACT_COLORS = dict(p.split(":") for p in _w("""grass:green sky:blue snow:white blood:red banana:yellow lemon:yellow
tomato:red night:black milk:white coal:black carrot:orange leaf:green sun:yellow chocolate:brown"""))
FUNCTION = _w("""the a an and or but so because if when while after before as that this these those there here it he she
they we you I his her their our my your him them us me is was are were be been has have had do did does not no yes
in on at to for with from of by about under over into out up down behind near between through around across off
very too more most much many some any all every each one only also just even still what who where why how can could
will would should must may said asked told gave went came got put let go come give take make see know want like
say tell get find keep first last next other another same own both few such than away home left right well never
nothing something everyone someone once upon called named lived loved began ended lasted year capital war thank
please hello goodbye oh good great really maybe together alone forever until since during without above below inside
outside early late open closed""")
GIVE = _w("""gave handed passed sent showed offered sold brought lent carried threw read sang wrote told
shared made bought baked cooked decided wanted tried began promised hoped agreed give hand pass send show offer sell
bring lend throw share buy bake""")
SCHOOLISH = _w("""remember everyone knows know learned school capital city country seat government visit travel train
plane parliament largest famous quiz correct answer is in called map lies teacher asks king lives president
ambassador stands""")
ATLAS = _w("""marked reached located situated found border tourists minister embassy river north south east west far arrived
arrive landed lands flight letters address stamp spelled means visited visiting tour guide bus ship coast center centre
middle heart biggest important official people guess guessed replied answered wrote written shows points star point
remains stays became rules ruled belongs holds moved reach leave meet meets met invited welcome flag language money
parliament leader leaders office offices class pupils lesson asks sail sailed hurry between toward towards hear heard
spell pronounced big center wide world globe atlas page reads reading saying exam test contest right wrong true false
nation land state region republic kingdom ruler crown palace throne law laws vote born died stayed stay
works worked studies studied lives dreams tells telling calls call names arrives flies drives sees finds""")

PEOPLE = GIRLS + BOYS
GENDER = {**{n: "f" for n in GIRLS}, **{n: "m" for n in BOYS}}
IO_NAMES = [n for n in PEOPLE if n not in HELD_NAMES]
_ALL = (PEOPLE, CAPITALS, CAPITALS.values(), ANIMALS, FRUITS, FOODS, THINGS, PLACES, JOBS, KIN, ADJ, COLORS, ADV, VERBS_PAST, MOVED,
        VERBS, DOING, TRANS_PAST, NATURE, BODY, HOME, ABSTRACT, EVENTS, DAYS, MONTHS, NUMBERS, LETTERS,
        [w for p in OPPOSITES for w in p], SOUNDS.values(), BABIES.values(), FACT_COLORS, FUNCTION, GIVE, SCHOOLISH, ATLAS)
WORDS = sorted({w for part in _ALL for w in part})
COMMON = sorted({w for part in _ALL[3:] for w in part if len(w) > 1})
