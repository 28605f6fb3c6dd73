"""General English word lists of the rule engine: closed classes, colors, adjectives, verbs. No list of objects."""

from __future__ import annotations

from .elements_words import words

DETERMINERS = words("a an the this that these those another each every my your his her its our their no")
QUANTIFIERS = words("some any many several few most all numerous various multiple countless lots plenty")
#: Words that join nothing: they end a noun phrase. Places are `RELATIONS`.
PREPOSITIONS = words(
    "of for from to as than by during until since about despite per via except because while when where "
    "if so then like after before upon throughout within amid amidst versus vs"
)
CONJUNCTIONS = words("and or but nor plus &")
RELATIVES = words("that which who whom whose")
AUXILIARIES = words(
    "is are was were be being been has have had does do did can could will would should may might must 's 're"
)
PRONOUNS = words(
    "it they he she him them i you we us me itself themselves himself herself one another other others each "
    "something someone anything everyone everything nothing there here"
)
ADVERBS = words(
    "very too also only just not never always quite really so still already almost nearly well away together apart "
    "far soon often sometimes again even fully partially slightly highly deeply softly brightly up down out off back "
    "forth forward backward upward downward outdoors indoors outside overhead nearby below above alone mid-air"
)
NEGATIONS = words("no without not never lacking sans")

NUMBERS = {
    w: i
    for i, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "hundred": 100, "thousand": 1000, "dozen": 12, "both": 2}
#: Nouns before `of` that count or portion the next noun; the number where they fix one.
MEASURES: dict[str, int | None] = {
    "couple": 2, "dozen": 12, "trio": 3, "duo": 2, "quartet": 4, "pair": None, "group": None, "bunch": None,
    "set": None, "number": None, "lot": None, "lots": None, "row": None, "rows": None, "stack": None, "pile": None,
    "herd": None, "flock": None, "crowd": None, "kind": None, "type": None, "piece": None, "pieces": None,
    "slice": None, "slices": None, "variety": None, "array": None, "collection": None, "assortment": None,
    "series": None, "handful": None, "school": None, "swarm": None, "pack": None, "team": None, "hundreds": None,
    "thousands": None, "dozens": None, "plenty": None, "pairs": None, "groups": None, "cluster": None,
}  # fmt: skip

#: Word -> the name all of its spellings share; also the names a color checker must know.
COLORS = {
    w: w
    for w in "red orange yellow green blue purple pink brown black white gray gold silver beige teal cyan magenta "
    "turquoise maroon navy lavender violet indigo crimson scarlet ivory cream tan bronze golden olive coral peach "
    "burgundy khaki charcoal amber emerald azure mint salmon rose fuchsia mauve".split()
} | {"grey": "gray", "golden": "gold", "silvery": "silver"}
#: Colors that are things as often: one only where a noun follows them.
COLOR_SHADES = words(
    "light dark bright pale deep vivid neon pastel dull soft rich royal sky navy hot baby forest lime"
)
MULTICOLOR = words(
    "colorful colourful multicolored multicoloured rainbow-colored monochrome colored coloured"
)

ADJECTIVES = words(
    "big large small little tiny huge giant gigantic enormous massive tall short long wide narrow thick thin slim fat "
    "old young new ancient modern antique elderly aged middle-aged adult happy sad angry cute beautiful pretty "
    "handsome ugly lovely elegant graceful majestic fierce scary creepy friendly lonely sleepy hungry proud brave "
    "hot cold warm cool wet dry dirty clean fresh frozen open closed empty full broken cracked whole bare naked "
    "round square oval triangular rectangular circular spherical cubic flat curved straight sharp pointed hollow "
    "soft hard smooth rough shiny glossy matte transparent translucent opaque bright dark dim light heavy "
    "wooden golden woolen metallic plastic rusty dusty foggy misty sunny rainy snowy cloudy stormy starry windy icy "
    "high low deep shallow fast slow quiet loud calm busy crowded rich poor simple plain ornate intricate complex "
    "delicate fancy luxurious rustic vintage retro futuristic classic traditional royal magical mystical mysterious "
    "enchanted whimsical surreal abstract realistic detailed vibrant vivid colorful colourful striped spotted dotted "
    "checkered plaid floral furry fluffy hairy bald blond blonde curly bearded muscular chubby skinny slender "
    "chinese japanese korean indian french italian german english british american african asian european mexican "
    "spanish russian egyptian greek roman victorian medieval gothic baroque tropical arctic urban rural wild domestic "
    "double single twin main front rear left right upper lower top bottom middle central inner outer distant "
    "different same similar various identical single electric digital mechanical nuclear solar female male human "
    "dead alive sick healthy strong weak smart wise evil kind gentle polite funny silly serious famous popular "
    "sweet sour salty spicy bitter delicious ripe raw juicy crispy cheap expensive rare common special unique "
    "minimalist surrealist smaller larger bigger taller shorter longer older younger lively first second third lush dense sparse serene tranquil peaceful cozy dramatic bold clear blurry fuzzy messy tidy neat lone "
    "formal casual natural national oriental local royal steaming overgrown windswept upright upside-down sideways fancy stout sturdy sleek stylish trendy grand quaint"
)
#: Endings that make adjectives of other words; checked only where a noun follows.
ADJECTIVE_ENDINGS = ("ic", "ive", "al", "ful", "ous", "less", "ish", "able", "ible", "esque", "-shaped", "-colored", "-coloured",
    "-sized", "-themed", "-style", "-like", "-covered", "-eyed", "-haired", "-faced", "-legged", "-old", "-filled",
    "-lit", "-made", "-wearing", "-tailed", "-looking")  # fmt: skip
MATERIALS = words(
    "wood wooden metal metallic glass plastic paper cardboard stone marble concrete brick clay ceramic porcelain "
    "leather silk cotton wool woolen velvet denim linen steel iron copper brass bronze gold silver aluminum chrome "
    "crystal ice bamboo straw rubber wicker jade lego felt yarn origami"
)

#: Nouns in -ing and -ed that no verb is meant by.
NOUNS_IN_ING = words(
    "king ring wing string spring sling thing ceiling morning evening clothing wedding building painting drawing "
    "pudding earring sibling duckling dumpling viking lightning railing awning bedding lettering herring carving "
    "stocking topping filling icing frosting engraving etching sapling gosling starling dressing plaything offering "
    "stuffing boxing meeting feeling bling darling being anything something nothing everything housing siding "
    "flooring paving plumbing wiring packaging signing branding rendering setting writing lighting styling shading "
    "landing crossing inning parking dining living washing sewing swimming shopping bowling cutting rolling ironing "
    "running sleeping wrestling skiing surfing knitting fishing hunting racing camping walking boarding training "
    "vending gaming recording rocking hiking diving wading waiting mixing chopping wedding steering"
)
#: Those of them that make a compound with the noun after them (`dining table`): a purpose, not an action.
PURPOSES = words(
    "parking dining living washing sewing swimming shopping bowling cutting rolling ironing running sleeping "
    "wrestling fishing hunting racing camping walking boarding training vending gaming recording rocking hiking diving "
    "wading waiting mixing chopping steering wedding building painting drawing writing frying baking measuring "
    "drinking serving reading playing dancing carving operating dressing fitting flying sailing rowing skiing "
    "surfing knitting lightning landing meeting boxing spinning jumping mailing dusting traveling typing"
)

VERBS = words(
    "act add aim appear arrange ask attach bake balance bark bathe beat bend bite blend block bloom blow blur board "
    "boil bounce bow break breathe bring brush build burn burst bury buy call capture carry carve cast catch celebrate "
    "chase chat check cheer chew chop circle clap clean climb cling close clutch collect come contain contrast cook "
    "cover crash crawl create creep cross crouch crumble crush cry cuddle curl cut cycle dance dangle decorate deliver "
    "depict descend dig dine disappear display dissolve dive divide do drag drape draw dress drift drink drip drive "
    "drop dry dye eat embrace emerge emit enclose engage engrave enjoy enter erupt evoke examine explode explore "
    "extend face fade fall feature feed feel fight fill fix flap flash flicker float flow flutter fly fold follow form "
    "frame freeze fry gallop gather gaze get give glide glisten glitter glow go grab graze greet grin grip grow guard "
    "guide hang happen hatch haul have hide hike hit hold hop hover howl hug hurry illuminate imply include "
    "inspect invite join juggle jump keep kick kiss kneel knit knock label laugh launch lay lead lean leap leave "
    "let lick lie lift light line linger listen load look lounge lurk make march meditate meet melt merge mirror mix "
    "mount move nap nestle nuzzle observe occupy offer open orbit overflow overlook overtake paint park pass peck peek "
    "peel peer perch perform pet pick pierce play plow point pose pour pray prepare present print prowl pull push put "
    "race radiate rain raise reach read reflect relax release remain rest reveal ride rise roam roar roast rock roll "
    "row run rush sail salute say scatter scream seat see sell send serve set shake shape shine shoot shop shout show "
    "sing sip sit skate sketch ski skip slash sleep slice slide smell smile smoke snow snuggle soak soar speak spell "
    "spill spin splash splatter split spray spread sprint sprout squeeze stack stand star stare start stay step stir "
    "stop stretch stride strike stroll study stuff sunbathe support surf surround suspend sweep swim swing swirl "
    "take talk taste teach tear tell think throw tie tilt toss touch tower trail train transform travel tread tuck "
    "turn twist type unfold use visit wade wait walk wander wash watch water wave wear weave whisper win wink "
    "wrap wrestle write yawn zoom state proclaim announce declare advertise emphasize enhance highlight line adorn "
    "crown showcase complement accompany inscribe pile sob surround etch stitch embroider stencil emblazon bear hold lettered"
)
#: Verbs that name a look rather than a deed; their objects are attributes or parts of the one before.
WEARING = words("wear wearing wears dressed clad")
#: Past participles that do not end in -ed.
PARTICIPLES = {
    "written": "write", "made": "make", "built": "build", "hung": "hang", "held": "hold", "worn": "wear",
    "drawn": "draw", "seen": "see", "set": "set", "shown": "show", "carved": "carve", "torn": "tear", "lit": "light",
    "woven": "weave", "cut": "cut", "broken": "break", "driven": "drive", "ridden": "ride", "eaten": "eat",
    "hidden": "hide", "frozen": "freeze", "blown": "blow", "grown": "grow", "spread": "spread", "laid": "lay",
    "bent": "bend", "stuck": "stick", "caught": "catch", "thrown": "throw", "split": "split", "taken": "take",
    "given": "give", "overgrown": "overgrow", "surrounded": "surround",
}  # fmt: skip

#: Relation phrases -> name, longest first at use.
RELATIONS = {
    "to the left of": "left_of", "on the left of": "left_of", "on the left side of": "left_of", "left of": "left_of",
    "to the left side of": "left_of", "to the right of": "right_of", "on the right of": "right_of",
    "on the right side of": "right_of", "to the right side of": "right_of", "right of": "right_of",
    "on top of": "on", "atop": "on", "on": "on", "upon": "on", "onto": "on", "above": "above", "over": "above",
    "higher than": "above", "below": "below", "beneath": "below", "under": "below", "underneath": "below",
    "lower than": "below", "at the bottom of": "bottom_of", "at the top of": "top_of", "in front of": "in_front_of",
    "before": "in_front_of", "behind": "behind", "at the back of": "behind", "in back of": "behind",
    "inside": "inside", "inside of": "inside", "within": "inside", "in": "inside", "into": "inside",
    "in the middle of": "inside", "in the center of": "inside", "in the centre of": "inside", "outside": "outside",
    "outside of": "outside", "out of": "outside", "next to": "next_to", "beside": "next_to", "near": "near",
    "close to": "near", "adjacent to": "next_to", "by": "next_to", "alongside": "next_to", "at the side of": "next_to",
    "side by side with": "next_to", "between": "between", "among": "among", "amongst": "among", "around": "around",
    "surrounding": "around", "along": "along", "across": "across", "across from": "opposite", "opposite": "opposite",
    "facing": "facing", "through": "through", "against": "against", "towards": "towards", "toward": "towards",
    "past": "past", "at": "at", "off": "off", "with": "with", "throughout": "throughout", "amid": "among",
    "in the background of": "behind", "in the foreground of": "in_front_of", "down": "along", "up": "along",
}  # fmt: skip
#: Relation -> the one seen from the other side.
INVERSE = {"left_of": "right_of", "right_of": "left_of", "above": "below", "below": "above",
    "in_front_of": "behind", "behind": "in_front_of"}  # fmt: skip
#: Places in the picture itself -> name.
FRAME_PLACES = {
    "in the background": "background", "in the foreground": "foreground", "on the left": "left",
    "on the right": "right", "at the top": "top", "at the bottom": "bottom", "in the center": "center",
    "in the centre": "center", "in the middle": "center", "on the left side": "left", "on the right side": "right",
    "at the center": "center", "to the left": "left", "to the right": "right", "in the top left corner": "top_left",
    "in the top right corner": "top_right", "in the bottom left corner": "bottom_left",
    "in the bottom right corner": "bottom_right", "in the upper left corner": "top_left",
    "in the upper right corner": "top_right", "in the lower left corner": "bottom_left",
    "in the lower right corner": "bottom_right", "in the distance": "background", "side by side": "side_by_side",
    "in a row": "row", "in a line": "row", "in a circle": "circle", "in a grid": "grid", "upside down": "upside_down",
}  # fmt: skip
FRAME_NOUNS = words(
    "picture image photo photograph frame scene composition painting canvas background foreground"
)

#: Nouns for the picture itself, when they come first (`a photo of`).
MEDIA = words(
    "photo photograph picture image painting drawing illustration sketch watercolor watercolour portrait render "
    "rendering cartoon screenshot snapshot artwork mosaic woodcut engraving etching print fresco collage "
    "caricature doodle animation still selfie "
    "photorealistic wallpaper clipart depiction rendition shot view close-up closeup scene selfie pencil"
)
#: Of MEDIA, those that say how the picture is framed.
FRAMINGS = words("shot view close-up closeup scene selfie portrait")
STYLES = (
    "oil painting", "watercolor painting", "acrylic painting", "ink painting", "chinese ink painting", "oil on canvas",
    "digital art", "digital painting", "digital illustration", "concept art", "pixel art", "vector art", "line art",
    "pop art", "street art", "low poly", "3d render", "3d rendering", "3d illustration", "isometric", "anime style",
    "manga style", "anime", "manga", "ukiyo-e", "chibi", "cartoon style", "comic book style", "flat design",
    "black and white", "black-and-white", "monochrome", "sepia", "grayscale", "duotone", "photorealistic",
    "photo-realistic", "hyperrealistic", "hyper-realistic", "ultra realistic", "realistic style", "cinematic",
    "film noir", "film grain", "35mm film", "analog film", "polaroid", "double exposure", "long exposure",
    "depth of field", "shallow depth of field", "bokeh", "tilt-shift", "macro photography", "macro shot", "macro lens",
    "wide-angle lens", "wide angle lens", "wide-angle", "wide angle", "fisheye lens", "fisheye", "telephoto lens",
    "dslr", "hdr", "4k", "8k", "unreal engine", "octane render", "ray tracing", "impressionist", "impressionism",
    "expressionist", "cubist", "cubism", "surrealism", "minimalist", "minimalism", "art deco", "art nouveau",
    "baroque style", "renaissance style", "steampunk", "cyberpunk", "vaporwave", "synthwave", "gothic style",
    "studio ghibli", "stained glass", "paper cut", "papercut", "claymation", "charcoal drawing", "pencil sketch",
    "pencil drawing", "crayon drawing", "children's drawing", "chalk drawing", "golden hour", "blue hour", "backlit",
    "rim light", "rim lighting", "soft lighting", "studio lighting", "dramatic lighting", "natural light",
    "volumetric lighting", "neon lighting", "warm lighting", "chiaroscuro", "high contrast", "low contrast",
    "pastel colors", "muted colors", "vivid colors", "warm tones", "cool tones", "soft focus", "motion blur",
    "trending on artstation", "fashion photography", "street photography", "product photography", "long shot",
)  # fmt: skip
FRAMING_PHRASES = {
    "close-up": "close_up", "close up": "close_up", "closeup": "close_up", "extreme close-up": "close_up",
    "full body": "full_body", "full-body": "full_body", "full-length": "full_body", "half body": "half_body",
    "medium shot": "medium_shot", "long shot": "long_shot", "wide shot": "wide_shot", "aerial view": "aerial_view",
    "aerial shot": "aerial_view", "bird's-eye view": "aerial_view", "bird's eye view": "aerial_view",
    "top view": "top_view", "top-down view": "top_view", "side view": "side_view", "front view": "front_view",
    "rear view": "rear_view", "low angle": "low_angle", "low-angle": "low_angle", "high angle": "high_angle",
    "eye level": "eye_level", "symmetrical composition": "symmetry", "rule of thirds": "rule_of_thirds",
    "centered composition": "centered", "overhead view": "top_view", "overhead shot": "top_view",
}  # fmt: skip

#: Adjective and noun that are one thing; an adjective in them is no attribute.
COMPOUNDS = frozenset(
    "hot dog|hot air balloon|hot pot|hot tub|hot chocolate|polar bear|grizzly bear|top hat|bowler hat|hard hat|red panda|"
    "blue whale|white shark|great white shark|bald eagle|golden retriever|guinea pig|wild boar|orange juice|green tea|"
    "black tea|red wine|white wine|french fries|ice cream|fast food|high heels|high heel|high chair|high school|"
    "wet suit|black hole|red carpet|blackboard|white board|short film|tall ship|full moon|crescent moon|new moon|"
    "solar system|solar panel|shooting star|falling star|electric guitar|electric car|grand piano|golden gate bridge|"
    "great wall|big ben|eiffel tower|old town|living room|swiss army knife|double bass|red cross|square dance|"
    "light bulb|dry cleaner|sweet potato|bell pepper|brussels sprout|cold brew|wild flower|"
    "stuffed animal|stuffed toy|rubber duck|paper clip|paper towel|glass house|gold fish|gold medal|silver medal|"
    "iron man|stone age|golden temple|round table|square meter|upper body|lower body|human being|first aid kit|"
    "rolling stone|flying saucer|flying fish|mechanical pencil|easy chair|secret service|digital clock".split(
        "|"
    )
)
#: Plurals that no rule makes singular -> singular; and words that only look like plurals.
IRREGULAR = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "geese": "goose", "oxen": "ox", "knives": "knife", "wolves": "wolf", "leaves": "leaf",
    "shelves": "shelf", "loaves": "loaf", "halves": "half", "calves": "calf", "elves": "elf", "lives": "life",
    "scarves": "scarf", "thieves": "thief", "wives": "wife", "cacti": "cactus", "fungi": "fungus", "dice": "die",
    "potatoes": "potato", "tomatoes": "tomato", "heroes": "hero", "mangoes": "mango", "movies": "movie",
    "cookies": "cookie", "ties": "tie", "pies": "pie", "shoes": "shoe", "canoes": "canoe", "toes": "toe",
    "zombies": "zombie", "selfies": "selfie", "brownies": "brownie", "smoothies": "smoothie", "axes": "axe",
    "horseshoes": "horseshoe", "hippies": "hippie", "genies": "genie", "buses": "bus", "lenses": "lens",
    "quizzes": "quiz", "vases": "vase", "bookshelves": "bookshelf", "snowmen": "snowman", "firemen": "fireman",
    "policemen": "policeman", "aircraft": "aircraft", "daisies": "daisy", "skis": "ski",
}  # fmt: skip
UNCHANGED = words(
    "glasses sunglasses scissors pants trousers jeans shorts skis binoculars tongs pliers species series sheep deer "
    "fish moose shrimp bus gas glass grass dress class lens canvas cactus octopus walrus virus iris tennis chess moss "
    "cross boss compass mattress princess actress waitress hostess goddess fortress harness address business "
    "chaos atlas bass brass christmas paris texas athens vegas mars venus jesus dinosaurs' headphones earphones "
    "clothes fries cosmos asparagus hibiscus campus circus crocus lotus hippopotamus platypus rhinoceros mess press "
    "pancreas analysis basis oasis crisis tripolis acropolis metropolis physics news process success ness always"
) - words("dinosaurs' skis")
#: Past tenses that do not end in -ed.
PAST = {
    "sat": "sit", "stood": "stand", "ran": "run", "wore": "wear", "flew": "fly", "swam": "swim", "lay": "lie",
    "rode": "ride", "drove": "drive", "ate": "eat", "drank": "drink", "fell": "fall", "fought": "fight",
    "slept": "sleep", "spoke": "speak", "threw": "throw", "shone": "shine", "said": "say", "swung": "swing",
}  # fmt: skip
#: Verbs whose plain and -s forms are nouns as often.
NOUN_VERBS = words(
    "light sign stand shop shot step train wave watch star drink brush park face frame label line mirror plow race "
    "rock row sail seat set shape slide smoke snow stack stitch stop tower trail type water wash print act aim bark "
    "block board book brush cast chat check cook cover crash cross crown curl cut cycle dance decorate dish display "
    "dress drink drive drop fan fight fill flash float flow fold form frame glow guard guide hammer haul hike hold hug "
    "jump kick kiss ladder lead leap leave lick lift march mix mount nest offer paint pass peer pet pick place plant "
    "plot point pose present ride rise roll run rush scatter scream shake shout sketch ski skip sleep smell spell "
    "spin splash split spot spray spread sprout square start state step stretch stroll support surf sweep talk taste "
    "tear tie tilt toss touch track trail twist visit wait walk wink wrap call catch feature feed feel look shine show"
) - words("hold look show feature ride stand wait walk pose point run jump")
#: Nouns that name lettering itself: with a quote after them they are no subject.
TEXT_NOUNS = words(
    "word words text texts letter letters lettering phrase message slogan title caption inscription saying quote "
    "heading headline tagline label subtitle name motto sentence line lines number numbers writing logo"
)
STYLE_NAMES = {style: style for style in STYLES}
#: Adjectives that are nouns as often: nouns where no noun follows them.
NOUN_ADJECTIVES = words(
    "light square front top bottom side giant adult female male human classic double flat twin glass plastic metal "
    "round oval plain grey dark cold heat clay middle back elderly crystal chinese japanese french british native "
    "portrait abstract single special sweet magical bass olive rose peach coral violet lavender salmon gold silver"
)
#: Words with the endings of adjectives that are none.
NOT_ADJECTIVES = words(
    "table vegetable cable constable stable syllable bible music magic comic traffic picnic clinic mosaic fabric "
    "ceramic public garlic attic relic logic critic mechanic topic graphic olive archive hive dive drive detective "
    "native animal metal festival hospital crystal medal pedal cathedral mural sandal petal signal capital "
    "canal journal terminal arrival carnival rival dial trial meal seal deal coal goal oval royal opal jackal "
    "material manual pedestal dish fish jellyfish goldfish radish wish bush genius bus cactus octopus walrus sedative perspective"
)
#: Gerunds that name a thing on their own (`a building`), so that one after a noun is no verb.
THINGS_IN_ING = words(
    "building painting drawing wedding writing lightning landing meeting dressing reading parking shopping bowling "
    "training recording"
)
#: Nouns for light, lens and finish: alone between commas they say how the picture is made.
RENDERING = words(
    "lens lighting light photography resolution focus palette tones tone exposure film contrast detail details quality bokeh"
)
