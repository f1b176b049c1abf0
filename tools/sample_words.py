"""What the shop of data/sample sells: departments, categories, product types and the words of their titles.

A department starts with `#` and has closing sentences for descriptions, a category with `##` and has brands,
a product type with `-` and has the types which are bought after it: one that names itself is bought again and
again. Two patterns follow each type, for titles (the brand goes before them) and for descriptions. Of a group
such as `[12 V|18 V]` one option is chosen, which may be empty; every combination must read well. Departments,
categories and types stand in order of size, largest first. Brands are invented.
"""

from dataclasses import dataclass

WORDS = """
# Tools & DIY | Trade prices from ten pieces. | Delivered in paper packaging. | Returns within 60 days.
## Power Tools | Bramwell, Torvik, Hartmoor, Stahlbrück, Ironvale
- Drill Drivers > Drill Bit Sets, Screwdriver Bits, Tool Batteries
  [12 V|14.4 V|18 V|20 V] Cordless [Drill Driver|Combi Drill|Hammer Drill|Brushless Drill Driver], \
    [1 Battery|2 Batteries|Bare Unit], [10 mm|13 mm] Chuck
  [Well-balanced drill for wood, metal and masonry.|Two-speed gearbox and a bright work light.]
- Circular Saws > Saw Blades, Safety Glasses, Work Gloves
  [1200 W|1400 W|1800 W] Circular Saw, [165 mm|184 mm|190 mm] Blade[| with Laser Guide| with Dust Port]
  [Cuts sheet material and timber cleanly.|Bevels up to 45 degrees with a quick depth setting.]
- Random Orbit Sanders > Sanding Discs, Dust Masks, Wood Oils
  [125 mm|150 mm] Random Orbit Sander, [260 W|310 W|400 W][|, Variable Speed][|, with Dust Box]
  [Leaves a swirl-free finish on wood and paint.|Low vibration for long sessions on doors and table tops.]
- Angle Grinders > Cutting Discs, Safety Glasses, Work Gloves
  [115 mm|125 mm] Angle Grinder, [750 W|900 W|1100 W][|, Paddle Switch|, Soft Start]
  [For cutting and grinding metal, stone and tile.|Tool-free guard and a three-position handle.]
## Hand Tools | Bramwell, Hartmoor, Kestrel & Rowe, Pellworth, Grünwald
- Screwdriver Sets > Screwdriver Bits, Pliers, Tool Boxes
  [6-Piece|8-Piece|12-Piece] [Screwdriver Set|Insulated Screwdriver Set|Precision Screwdriver Set], \
    [Slotted and Phillips|Slotted, Pozi and Torx|Torx and Hex]
  [Chrome vanadium blades with magnetic tips.|Soft-grip handles that don't roll off the bench.]
- Hammers > Nails, Tape Measures
  [8 oz|12 oz|16 oz|20 oz] [Claw Hammer|Ball Pein Hammer|Rubber Mallet], \
    [Hickory Handle|Fibreglass Handle|Steel Shaft]
  [Well balanced for an easy swing.|A daily hammer for bench and site.]
- Spirit Levels > Tape Measures
  [9"|24"|36"|48"] [Spirit Level|Magnetic Spirit Level|Box Beam Level][|, 2 Vials|, 3 Vials]
  [Milled faces and shockproof end caps.|Reads true to half a millimetre per metre.]
- Pliers > Screwdriver Sets, Tool Boxes
  [Combination|Long Nose|Side Cutting|Water Pump] Pliers, \
    [160 mm|180 mm|200 mm|250 mm][|, Insulated to 1000 V]
  [Induction-hardened edges stay sharp on wire.|Non-slip sleeves and a smooth box joint.]
- Tape Measures > Spirit Levels
  [3 m|5 m|8 m] Tape Measure[|, Magnetic Hook|, Auto Lock], [16 mm|19 mm|25 mm] Blade
  [Clear metric and imperial scales.|Rubber case survives a fall from the ladder.]
- Clamps > Wood Glue
  [150 mm|300 mm|450 mm|600 mm] [Bar Clamp|Quick-Grip Clamp|F-Clamp][|, Pack of 2|, Pack of 4]
  [Holds firm without marking the work.|One-handed trigger and soft pads.]
## Tool Accessories | Bramwell, Torvik, Stahlbrück, Ironvale
- Drill Bit Sets > Screwdriver Bits, Wall Plugs
  [10-Piece|13-Piece|19-Piece|25-Piece] [HSS|Masonry|Wood|SDS-Plus] Drill Bit Set, [Steel Case|Plastic Case]
  [Ground tips start cleanly and don't wander.|Every size marked on the case and on the shank.]
- Screwdriver Bits > Wood Screws, Drill Bit Sets
  [20-Piece|32-Piece|50-Piece] [Impact Screwdriver Bits|Screwdriver Bits], \
    [PH2 and PZ2|Torx|Mixed][|, Magnetic Holder]
  [Torsion zone takes the shock of impact drivers.|Fits every quarter-inch hex chuck.]
- Tool Batteries > Drill Bit Sets, Random Orbit Sanders
  [12 V|18 V|20 V] Li-Ion Tool Battery, [2.0 Ah|4.0 Ah|5.0 Ah]
  [Fuel gauge on the front and no memory effect.|Fits all cordless tools of the same brand and voltage.]
- Saw Blades > Circular Saws, Work Gloves
  [165 mm|184 mm|190 mm] Circular Saw Blade, [24 Teeth|40 Teeth|60 Teeth], \
    [for Wood|for Laminate|for Aluminium]
  [Carbide teeth for a clean edge.|Thin kerf saves battery and timber.]
- Sanding Discs > Sanding Discs, Wood Oils
  [125 mm|150 mm] Sanding Discs, [60 Grit|80 Grit|120 Grit|240 Grit], Pack of [10|25|50]
  [Hook-and-loop backing and eight dust holes.|Aluminium oxide on tear-resistant paper.]
- Cutting Discs > Cutting Discs, Angle Grinders
  [115 mm|125 mm] Cutting Discs for [Metal|Stone|Stainless Steel], Pack of [5|10]
  [Thin discs that cut fast with few sparks.|Double mesh for safety.]
## Painting & Decorating | Coldharbour, Pellworth, Lisle & Dane, Malmberg
- Paint Brushes > Masking Tape, Wall Paint
  [1"|1.5"|2"|3"] [Paint Brush|Angled Cutting-In Brush|Sash Brush][|, Set of 3], \
    [Synthetic Bristles|Natural Bristles]
  [Holds plenty of paint and sheds no bristles.|Sharp edges along skirting and window frames.]
- Wall Paint > Paint Brushes, Paint Rollers, Masking Tape
  [Matt|Silk|Eggshell] Wall Paint, [Chalk White|Soft Clay|Sea Mist|Olive Grove|Harbour Blue], \
    [1 l|2.5 l|5 l]
  [Covers in two coats and dries in two hours.|Washable emulsion with very little smell.]
- Paint Rollers > Wall Paint, Dust Sheets
  [4"|9"|12"] Paint Roller [with Tray|with Extension Pole|Sleeves, Pack of 3][|, Short Pile]
  [An even coat on smooth and lightly textured walls.|Lint-free fabric that rinses out quickly.]
- Masking Tape > Dust Sheets, Paint Brushes
  [Masking Tape|Delicate Surface Masking Tape], [24 mm|36 mm|48 mm] x 50 m[|, Pack of 3]
  [Peels off cleanly after a week.|Crisp lines without bleeding.]
- Dust Sheets > Masking Tape
  [Cotton Twill|Polythene|Laminated] Dust Sheet, [2 x 3 m|3 x 4 m|4 x 5 m][|, Pack of 2]
  [Keeps floors and furniture free of paint.|Folds flat and can be used again.]
- Wood Oils > Sanding Discs, Paint Brushes
  [Danish Oil|Hardwax Oil|Linseed Oil], [Natural|Light Oak|Walnut], [250 ml|500 ml|1 l]
  [Brings out the grain and repels water.|Dries overnight to a soft sheen.]
## Fixings & Adhesives | Pellworth, Stahlbrück, Holdwell, Anker & Lund
- Wood Screws > Wall Plugs, Screwdriver Bits
  Wood Screws, [3.5|4.0|5.0] x [30|40|60|80] mm, Box of [100|200|500]
  [Countersunk, zinc plated, no pilot hole needed.|Double thread for chipboard and softwood.]
- Wall Plugs > Wood Screws, Drill Bit Sets
  [6 mm|8 mm|10 mm] [Wall Plugs|Plasterboard Plugs|Universal Plugs], Box of [50|100|200]
  [Grip in brick, block and hollow walls.|Ribs stop the plug from turning.]
- Nails > Hammers
  [Round Wire|Oval|Panel|Galvanised Clout] Nails, [25 mm|40 mm|65 mm], [250 g|500 g|1 kg]
  [Bright steel for general joinery.|Sharp points that don't split the wood.]
- Wood Glue > Clamps
  [Waterproof|Quick-Set|Classic] Wood Glue, [250 ml|500 ml|1 l]
  [Stronger than the wood around it.|Sands well and dries clear.]
## Safety & Storage | Ironvale, Holdwell, Kestrel & Rowe
- Work Gloves > Safety Glasses
  [Nitrile Coated|Leather Palm|Cut Resistant] Work Gloves, [Size S|Size M|Size L|Size XL][|, Pack of 3]
  [Good grip, wet or dry.|Breathable backs and a snug cuff.]
- Safety Glasses > Dust Masks
  [Clear|Smoke|Amber] Safety Glasses, [Anti-Fog|Scratch Resistant|Wraparound][|, Pack of 2]
  [Light enough to forget you wear them.|Fit over most prescription glasses.]
- Dust Masks > Dust Masks, Safety Glasses
  [FFP2|FFP3] Dust Masks, [Valved|Foldable], Pack of [5|10|20]
  [Soft nose seal and latex-free straps.|For sanding, sweeping and insulation work.]
- Tool Boxes > Screwdriver Sets, Tape Measures
  [13"|16"|19"|24"] [Tool Box|Cantilever Tool Box|Rolling Tool Box][|, with Organiser Lid]
  [Metal latches and a lift-out tray.|Takes a drill, its charger and the small parts.]

# Kitchen | Chosen by our test kitchen. | Gift wrapping on request. | Delivered in paper packaging.
## Cookware | Ashcombe, Küstenhof, Olvera, Thornby, Petit Grenier
- Frying Pans > Spatulas, Saucepans, Chef's Knives
  [20 cm|24 cm|28 cm|30 cm] [Non-Stick|Cast Iron|Carbon Steel|Stainless Steel] Frying Pan[|, with Lid]
  [Heats evenly and suits most hobs.|For eggs in the morning and steak at night.]
- Saucepans > Frying Pans, Wooden Spoons
  [14 cm|16 cm|18 cm|20 cm] [Saucepan|Milk Pan|Stainless Steel Saucepan], \
    [Glass Lid|Steel Lid|Pouring Lip][|, Copper Base]
  [Thick base for sauces that don't catch.|Measuring marks on the inside.]
- Casserole Dishes > Oven Gloves, Wooden Spoons
  [2.5 l|4 l|5.5 l|7 l] [Cast Iron Casserole|Stoneware Casserole|Oval Cast Iron Casserole], \
    [Cream|Ink Blue|Cherry Red|Sage]
  [From hob to oven to table.|Heavy lid keeps the moisture in.]
- Baking Trays > Oven Gloves, Cake Tins, Mixing Bowls
  [33 cm|38 cm|42 cm] [Baking Tray|Roasting Tin|Perforated Baking Tray][|, Pack of 2|, with Rack]
  [Heavy-gauge steel that doesn't warp.|Biscuits slide straight off.]
- Cake Tins > Mixing Bowls, Baking Trays, Kitchen Scales
  [18 cm|20 cm|23 cm|26 cm] [Springform Cake Tin|Loose-Base Cake Tin|Bundt Tin][|, Set of 2]
  [Releases cleanly every time.|Even browning up to the rim.]
## Coffee & Tea | Marlow & Finch, Brunelli Nord, Küstenhof, Tidewater, Sörensen Kaffe
- Mugs > Teapots, Coffee Beans, Loose Leaf Tea
  [Stoneware Mug|Enamel Mug|"Good Morning" Mug|"World's Okayest Cook" Mug], \
    [300 ml|350 ml|400 ml], [Speckled White|Ink Blue|Sage|Terracotta][|, Set of 4]
  [A comfortable handle and a generous size.|Glazed by hand, so no two look quite the same.]
- Coffee Beans > Coffee Beans, Coffee Grinders, Cafetières
  Coffee Beans, [House Blend|Ethiopia Guji|Brazil Santos|Decaf], \
    [Light Roast|Medium Roast|Dark Roast], [250 g|500 g|1 kg]
  [Notes of cocoa and toasted hazelnut.|Roasted in small batches and packed the same day.]
- Coffee Grinders > Coffee Beans, Cafetières
  [Manual Coffee Grinder|Electric Burr Coffee Grinder|Electric Blade Coffee Grinder], \
    [30 g|60 g|120 g][|, Matt Black|, Brushed Steel]
  [Set it from espresso to cafetière.|Quiet, quick and easy to clean.]
- Cafetières > Coffee Beans, Mugs
  [350 ml|600 ml|1 l] [Cafetière|Double-Walled Cafetière|Pour-Over Coffee Maker], [Glass|Steel|Matt Black]
  [Fine mesh filter for a clean cup.|Keeps coffee hot through breakfast.]
- Loose Leaf Tea > Loose Leaf Tea, Teapots
  Loose Leaf Tea, [English Breakfast|Earl Grey|Sencha|Peppermint|Rooibos], \
    [100 g|250 g][| Tin| Refill Pouch]
  [Whole leaves, picked and packed this season.|Brew for three minutes and enjoy.]
- Teapots > Loose Leaf Tea, Mugs
  [600 ml|1 l|1.2 l] [Glass Teapot|Stoneware Teapot|Cast Iron Teapot] with Infuser[|, Sage|, Ink Blue]
  [Drip-free spout and a snug lid.|Easy to fill and easy to clean.]
## Small Appliances | Brunelli Nord, Ashcombe, Voltry, Hedda
- Kettles > Toasters, Loose Leaf Tea, Mugs
  [1 l|1.5 l|1.7 l] [Electric Kettle|Variable Temperature Kettle|Gooseneck Kettle|Glass Kettle], \
    [Cream|Matt Black|Brushed Steel]
  [Boils a cup in under a minute.|Removable limescale filter and a cordless base.]
- Toasters > Kettles
  [2-Slice|4-Slice] Toaster, [Cream|Matt Black|Brushed Steel|Sage][|, Wide Slots|, with Bun Warmer]
  [Defrost, reheat and seven browning levels.|High lift for small slices.]
- Blenders > Food Containers, Kitchen Scales
  [300 W|600 W|1000 W] [Hand Blender|Jug Blender|Smoothie Blender][|, Cream|, Matt Black]
  [Soups and smoothies without lumps.|Stainless steel blades, quickly cleaned.]
- Stand Mixers > Mixing Bowls, Cake Tins, Kitchen Scales
  [4 l|5 l|6.5 l] Stand Mixer, [800 W|1000 W|1200 W], [Cream|Cherry Red|Matt Black]
  [Kneads bread dough without walking off the worktop.|Comes with a whisk, a dough hook and a beater.]
- Kitchen Scales > Mixing Bowls
  [5 kg|10 kg] [Digital Kitchen Scale|Mechanical Kitchen Scale][|, with Bowl|, Slim], [White|Black|Steel]
  [Exact enough for macarons.|Easy to read and easy to store.]
## Knives & Utensils | Grünwald, Thornby, Olvera, Hanakiri
- Chef's Knives > Knife Sharpeners, Chopping Boards
  [15 cm|18 cm|20 cm|24 cm] [Chef's Knife|Santoku Knife|Bread Knife|Carving Knife], \
    [Pakkawood Handle|Black Handle|Olive Wood Handle]
  [High-carbon steel that keeps its edge.|Full tang and a comfortable balance.]
- Chopping Boards > Chef's Knives, Knife Sharpeners
  [Acacia|Bamboo|Beech|Walnut] Chopping Board, [30 x 20 cm|38 x 26 cm|45 x 30 cm][|, Juice Groove]
  [Kind to knife edges.|Rubber feet keep it still.]
- Knife Sharpeners > Chef's Knives
  [2-Stage Knife Sharpener|3-Stage Knife Sharpener|Whetstone, 1000/6000 Grit|Honing Steel][|, Gift Box]
  [A sharp edge in a few strokes.|For steel knives, plain edge.]
- Spatulas > Frying Pans, Mixing Bowls
  [Silicone Spatula|Fish Slice|Silicone Turner], [Black|Sage|Cherry Red][|, Set of 3]
  [Safe on non-stick pans up to 230 °C.|Flexible edge that reaches every corner.]
- Wooden Spoons > Casserole Dishes, Saucepans
  [Beech|Olive Wood|Cherry Wood] [Spoon|Risotto Spoon|Corner Spoon][|, Set of 3|, Set of 5]
  [Smooth, oiled and pleasant to hold.|Turned from one piece of wood.]
- Oven Gloves > Baking Trays, Casserole Dishes
  [Double Oven Glove|Oven Gloves, Pair|Silicone Oven Mitt], [Ticking Stripe|Ink Blue|Sage|Charcoal]
  [Thick padding and a hanging loop.|Protects up to the wrist.]
## Food Storage | Tidewater, Hedda, Marlow & Finch
- Food Containers > Lunch Boxes, Spice Jars
  [Glass|Plastic|Steel] Food Containers, [Set of 3|Set of 5|Set of 8], [Clip Lids|Bamboo Lids]
  [Stack neatly and don't leak.|From freezer to table.]
- Lunch Boxes > Water Bottles, Food Containers
  [Bento|Steel|Insulated] Lunch Box, [800 ml|1.2 l], [Sage|Ink Blue|Coral]
  [Two compartments and a tight seal.|Fits a school bag or a briefcase.]
- Spice Jars > Food Containers
  Glass Spice Jars, [Set of 6|Set of 12|Set of 24][|, Bamboo Lids|, with Rack|, with Labels]
  [Keeps spices dry and in sight.|Shaker inserts included.]
- Mixing Bowls > Kitchen Scales, Spatulas
  [Steel|Stoneware|Glass] Mixing Bowl, [2 l|3 l|5 l][|, Pouring Lip]
  [Wide rim for easy pouring.|Non-slip base.]

# Electronics | Three-year guarantee. | Delivered in paper packaging. | Free returns for 30 days.
## Audio | Auvelle, Sonderby, Norvexa, Quillon
- Headphones > Audio Cables, Portable Speakers
  Wireless [Over-Ear|On-Ear] Headphones, [Black|White|Midnight Blue|Sand][|, Noise Cancelling|, 40 Hours]
  [Soft cushions and a clear, warm sound.|Folds flat for the journey.|Built-in microphone for calls.]
- Earbuds > Wall Chargers
  [True Wireless Earbuds|Sports Earbuds|Noise Cancelling Earbuds], \
    [Black|White|Coral|Mint][|, USB-C Case|, 30 Hours with Case]
  [Three sizes of tips for a secure fit.|Tap to pause, skip or take a call.]
- Portable Speakers > Audio Cables, Power Banks
  [10 W|20 W|30 W] Portable Bluetooth Speaker, [Black|Sand|Coral|Midnight Blue], [IPX5|IPX7]
  [Twelve hours of music from one charge.|Pair two of them for stereo.]
- Audio Cables > Portable Speakers
  [3.5 mm|Optical|RCA] Audio Cable, [1 m|1.5 m|3 m][|, Braided]
  [Gold-plated plugs and a good shield.|Snug connectors that don't crackle.]
## Phone Accessories | Hexaline, Glimmerby, Quillon, Paddock & Pine, Fjordkit
- Phone Cases > Screen Protectors, Phone Holders
  [Silicone|Felt|Leather|Rugged] Phone Case for [5.8"|6.1"|6.7"] Phones, [Black|Forest Green|Sand|Lilac]
  [Raised edges protect screen and camera.|Slim, grippy and ready for wireless charging.]
- Screen Protectors > Phone Cases
  [Tempered Glass|Matt|Privacy] Screen Protector for [5.8"|6.1"|6.7"] Phones[|, Pack of 2|, Pack of 3]
  [Goes on without bubbles with the frame in the box.|Harder than keys and coins.]
- Wall Chargers > USB-C Cables, Power Banks
  [20 W|30 W|45 W|65 W] USB-C Wall Charger, [1 Port|2 Ports|3 Ports], [White|Black]
  [Charges phones, tablets and small laptops.|Stays cool and takes little room.]
- Power Banks > USB-C Cables, Wall Chargers
  [5,000 mAh|10,000 mAh|20,000 mAh] Power Bank, [18 W|22.5 W|45 W][|, Built-In Cable|, Magnetic]
  [Lasts for a weekend away.|Display shows what is left to the percent.]
- USB-C Cables > Wall Chargers, USB Hubs
  USB-C [Cable|Right-Angled Cable|Braided Cable], [0.5 m|1 m|2 m|3 m], [60 W|100 W][|, Pack of 2]
  [Reinforced at both ends.|Charges and syncs, and comes with a cable tie.]
- Phone Holders > Phone Cases, USB-C Cables
  [Car Phone Holder|Desk Phone Stand|Magnetic Phone Mount], [Black|Silver][|, Adjustable|, Foldable]
  [Turns to portrait or landscape with one hand.|Stays put on bumpy roads and busy desks.]
## Computing | Hexaline, Norvexa, Keymoor, Glimmerby
- Keyboards > Mice, Mouse Mats
  [Wireless|Wired] [Keyboard|Mechanical Keyboard|Compact Keyboard], \
    [UK Layout|US Layout|German Layout][|, Backlit|, Quiet Keys]
  [Comfortable travel for a long day of typing.|Adjustable feet and an engraved layout that doesn't fade.]
- Mice > Mouse Mats, Keyboards
  [Wireless|Wired] [Mouse|Vertical Mouse|Silent Mouse], [1600 dpi|2400 dpi|4000 dpi][|, Black|, White]
  [Shaped for the right hand.|Smooth wheel and two thumb buttons.]
- Webcams > USB Hubs, Headphones
  [1080p|1440p|4K] Webcam[|, Ring Light|, Privacy Shutter|, Wide Angle]
  [Clear picture even in a dim room.|Clips to screens and tripods.]
- USB Hubs > USB-C Cables, HDMI Cables, Mice
  [4-Port|5-in-1|7-in-1|9-in-1] USB-C Hub[|, HDMI 4K|, Gigabit Ethernet|, SD Reader]
  [Aluminium case, no driver needed.|All the ports the laptop left out.]
- Mouse Mats > Mice
  [Small|Large|Desk-Size] Mouse Mat, [Felt|Fabric|Cork]
  [Stitched edges and a non-slip base.|A calm surface for precise work.]
## Storage & Cables | Norvexa, Datahaven Nord, Fjordkit
- Memory Cards > External SSDs
  [32 GB|64 GB|128 GB|256 GB] [microSD Card|SD Card], [100 MB/s|170 MB/s]
  [For cameras, tablets and consoles.|Withstands water, cold and X-rays.]
- External SSDs > USB-C Cables, USB Hubs
  [500 GB|1 TB|2 TB] External SSD, [540 MB/s|1050 MB/s][|, Rugged]
  [Smaller than a bank card and silent.|Encrypts everything with a password.]
- HDMI Cables > USB Hubs
  [1 m|2 m|5 m] HDMI [2.0|2.1] Cable[|, Braided|, Right-Angled]
  [4K pictures without flicker.|Gold-plated plugs and a flexible jacket.]
## Smart Home | Glimmerby, Homestead Nine, Voltry
- Smart Bulbs > Smart Bulbs, Smart Plugs, Motion Sensors
  Smart Bulb [E27|E14|GU10], [White|Warm to Cool White|Colour][|, Pack of 2|, Pack of 4]
  [Dim it by app, voice or timer.|Gentle wake-up light and sunset mode.]
- Smart Plugs > Smart Bulbs
  Smart Plug, [10 A|13 A|16 A][|, Energy Meter][|, Pack of 2|, Pack of 4]
  [Switches lamps and fans on a schedule.|Leaves the next socket free.]
- Security Cameras > Memory Cards, Motion Sensors
  [Indoor|Outdoor|Doorbell] Security Camera, [1080p|2K|4K][|, Battery Powered|, Two-Way Audio]
  [Tells people from passing cars.|Clear night vision to ten metres.]
- Motion Sensors > Smart Bulbs, Security Cameras
  [Motion Sensor|Door and Window Sensor], [White|Black][|, Pack of 2]
  [Two years on one battery.|Sticks on without drilling.]

# Garden | Tried out in our own garden. | Delivered in paper packaging.
## Garden Tools | Fernleigh, Oakhanger, Mossbank, Grünwald
- Secateurs > Gardening Gloves
  [Bypass|Anvil|Ratchet] Secateurs, [15 mm|20 mm|25 mm] Cut[|, Left-Handed|, with Holster]
  [Hardened blade that can be taken apart and sharpened.|A clean cut heals faster.]
- Spades & Forks > Gardening Gloves, Compost
  [Stainless Steel|Carbon Steel] [Digging Spade|Border Spade|Digging Fork|Border Fork], \
    [Ash Handle|T-Handle|Long Handle]
  [Deep socket and a comfortable tread.|Slides through heavy clay.]
- Trowels > Gardening Gloves, Plant Pots, Flower Seeds
  [Hand Trowel|Transplanting Trowel|Hand Fork|Trowel and Fork Set], \
    [Ash Handle|Soft Grip][|, Stainless Steel]
  [Depth marks for bulbs and seedlings.|Fits small hands too.]
- Gardening Gloves > Secateurs, Trowels
  [Leather|Latex Grip|Thornproof|Bamboo] Gardening Gloves, [Size S|Size M|Size L]
  [Keeps soil and thorns out.|Thin enough to feel a seedling.]
## Watering | Wrenfield, Fernleigh, Brookmere, Verdaro
- Garden Hoses > Hose Nozzles, Hose Connectors
  [15 m|20 m|30 m|50 m] [Garden Hose|Expandable Hose|Soaker Hose|Anti-Kink Hose], [1/2"|3/4"]
  [Stays flexible in the cold.|Four layers, so it doesn't kink or burst.]
- Hose Nozzles > Hose Connectors, Garden Hoses
  [4-Pattern|7-Pattern|10-Pattern] Hose [Spray Gun|Nozzle|Lance][|, Brass|, Thumb Control]
  [From a fine mist to a hard jet.|Locks on for hands-free watering.]
- Hose Connectors > Hose Nozzles, Sprinklers
  [1/2"|3/4"] [Hose Connector|Tap Connector|Hose Repair Joiner], [Brass|Plastic][|, Pack of 3]
  [Clicks on and doesn't drip.|Fits all common hose systems.]
- Watering Cans > Plant Food, Trowels
  [1.5 l|5 l|9 l] Watering Can, [Galvanised|Sage|Charcoal|Cream][|, with Brass Rose]
  [Well balanced when full.|Gentle rain for seedlings.]
- Sprinklers > Garden Hoses, Hose Connectors
  [Oscillating|Rotating|Pulse] Sprinkler, up to [150 m²|250 m²|350 m²]
  [Covers lawn corners without soaking the path.|Metal spike or base included.]
## Plants & Soil | Mossbank, Wrenfield, Petersfield, Blütenhof
- Flower Seeds > Flower Seeds, Compost, Plant Pots
  [Sunflower|Cosmos|Sweet Pea|Nasturtium|Cornflower|Wildflower] Seeds, [Dwarf|Tall|Mixed Colours], \
    [1 Packet|3 Packets]
  [Sow from March for flowers until October.|Loved by bees and butterflies.]
- Vegetable Seeds > Vegetable Seeds, Compost, Plant Food
  [Tomato|Courgette|Carrot|Beetroot|Lettuce|Runner Bean] Seeds, [Early|Main Crop|Heirloom], \
    [1 Packet|3 Packets]
  [Reliable in beds and in containers.|Harvest from early summer.]
- Plant Pots > Compost, Flower Seeds, Plant Food
  [Terracotta|Glazed|Recycled Plastic|Zinc] Plant Pot, [14 cm|20 cm|30 cm|40 cm][|, with Saucer|, Set of 3]
  [Frost-proof with a drainage hole.|Looks good on a step or a sill.]
- Compost > Plant Pots, Plant Food, Vegetable Seeds
  [Multi-Purpose|Seed and Cutting|Ericaceous|Peat-Free Vegetable] Compost, [20 l|40 l|60 l]
  [Feeds for the first six weeks.|Fine, open texture that drains well.]
- Plant Food > Plant Food, Watering Cans
  [Tomato|Rose|Citrus|All-Purpose] Plant Food, [500 ml|1 l|2.5 kg]
  [A capful a week is enough.|Seaweed extract for strong roots.]
## Outdoor Living | Verdaro, Emberly, Oakhanger
- Solar Lights > Solar Lights
  Solar [String Lights|Path Lights|Lantern|Spotlights], \
    [Warm White|Cool White|Multicolour][|, Pack of 2|, Pack of 4]
  [Switches on at dusk.|Eight hours of light after a sunny day.]
- Barbecues > Barbecue Tools, Charcoal
  [Kettle|Portable|Gas|Ceramic] Barbecue, [36 cm|47 cm|57 cm] Grill[|, Lid Thermometer]
  [Steady heat for searing and slow smoking.|Easy to light and easy to clean.]
- Barbecue Tools > Charcoal, Barbecues
  Barbecue [Tool Set|Tongs|Spatula|Brush], [Stainless Steel|Wooden Handle][|, Extra Long]
  [Keeps hands away from the heat.|Hangs on the side of the grill.]
- Charcoal > Charcoal, Barbecue Tools
  [Lumpwood Charcoal|Charcoal Briquettes|Coconut Briquettes], [3 kg|5 kg|10 kg]
  [Ready to cook in twenty minutes.|Little smoke and little ash.]
## Wildlife | Wrenfield, Tawny & Thrush
- Bird Feeders > Bird Seed, Nest Boxes
  [Seed|Peanut|Suet Ball|Window] Bird Feeder[|, Squirrel-Proof], [Small|Large]
  [Easy to fill and to clean.|Perches for four birds at once.]
- Bird Seed > Bird Seed, Bird Feeders
  [Wild Bird Seed Mix|Sunflower Hearts|Suet Balls|Peanuts for Birds], [1 kg|5 kg|12.75 kg]
  [No fillers, no waste below the feeder.|High energy for winter.]
- Nest Boxes > Bird Feeders
  Nest Box for [Blue Tits|Robins|Sparrows|Wrens], [Pine|Woodcrete|Cedar]
  [Opens at the front for cleaning.|Hang it between two and four metres up.]

# Sports & Outdoors | Free returns for 30 days. | Tested by our own club.
## Camping & Hiking | Felltop, Kalmara, Ridgeway Nine, Norrdal Trail
- Tents > Sleeping Bags, Camping Mats, Camping Stoves
  [1-Person|2-Person|4-Person|6-Person] [Tent|Dome Tent|Tunnel Tent], \
    [Forest Green|Ochre|Slate][|, 3000 mm|, Blackout Bedroom]
  [Up in ten minutes, taped seams throughout.|Room for bags in the porch.]
- Sleeping Bags > Camping Mats, Tents
  [Mummy|Rectangular|Double] Sleeping Bag, [10 °C|5 °C|0 °C|-5 °C][|, Down|, Left Zip]
  [Packs down to the size of a loaf.|Soft lining and a draught collar.]
- Camping Stoves > Camping Cookware, Headtorches
  [Single-Burner|Double-Burner|Backpacking] Camping Stove, [2.2 kW|2.6 kW|3.5 kW][|, Piezo Ignition]
  [Boils a litre in four minutes.|Stable legs and a wind shield.]
- Headtorches > Tents, Camping Stoves
  [200 lm|350 lm|600 lm] Headtorch, [Rechargeable|AAA][|, Red Light|, IPX6]
  [Light, with a beam you can tilt.|Lock mode, so it doesn't come on in the bag.]
- Camping Mats > Sleeping Bags
  [Self-Inflating|Foam|Inflatable] Camping Mat, [3 cm|5 cm|8 cm], [Single|Double]
  [Warm and quiet to sleep on.|Rolls up small with two straps.]
- Camping Cookware > Camping Stoves
  [Aluminium|Titanium|Steel] Camping [Cook Set|Kettle|Pot], [1 l|1.6 l|2 l]
  [Nests inside itself.|Folding handles stay cool.]
## Fitness | Strideon, Corvane, Kalmara, Ballast & Beam
- Yoga Mats > Water Bottles
  [4 mm|6 mm|8 mm] Yoga Mat, [Cork|Natural Rubber|TPE], [Plum|Sage|Charcoal|Ocean][|, with Strap]
  [Good grip in every pose.|Cushions knees and wrists.]
- Dumbbells > Yoga Mats, Kettlebells, Foam Rollers
  [Neoprene|Cast Iron|Rubber Hex] [Dumbbell|Dumbbell Pair], [2 kg|5 kg|8 kg|12 kg]
  [Flat sides that don't roll away.|Knurled grip for a safe hold.]
- Resistance Bands > Yoga Mats, Foam Rollers
  Resistance Bands, [Light|Medium|Heavy|Mixed], [Set of 3|Set of 5][|, Fabric|, with Handles]
  [A whole gym in a pouch.|Won't roll up or snap.]
- Kettlebells > Dumbbells, Yoga Mats
  [Cast Iron|Vinyl|Competition] Kettlebell, [4 kg|8 kg|12 kg|16 kg|20 kg]
  [Smooth handle with room for two hands.|Flat base that's kind to floors.]
- Foam Rollers > Resistance Bands
  Foam Roller, [33 cm|45 cm|60 cm], [Smooth|Ridged|Vibrating]
  [Eases tight legs and backs.|Dense foam that keeps its shape.]
## Running | Strideon, Fleethorn, Aavik Run
- Running Shirts > Running Shorts, Sports Socks
  [Men's|Women's] [Running Shirt|Long-Sleeved Running Shirt|Running Vest], \
    [Black|Coral|Sky Blue|Lime], [Size S|Size M|Size L]
  [Dries fast and doesn't rub.|Flat seams and reflective details.]
- Running Shorts > Running Shirts, Sports Socks
  [Men's|Women's] [Running Shorts|2-in-1 Running Shorts|Running Tights], [Black|Navy|Grey], \
    [Size S|Size M|Size L]
  [Zipped pocket for a key.|Moves with you and never rides up.]
- Sports Socks > Running Shirts
  [Running|Hiking|Cycling] Socks, [Ankle|Crew|Knee] Length, [Size 36-40|Size 41-45][|, Pack of 3]
  [Cushioned heel and toe.|Merino blend that keeps feet dry.]
- Water Bottles > Sports Socks, Lunch Boxes
  [500 ml|750 ml|1 l] [Water Bottle|Insulated Water Bottle|Squeeze Bottle], [Black|Coral|Sky Blue|Sage]
  [No leaks and no taste of plastic.|Opens with one hand.]
## Cycling | Pelagio, Ridgeway Nine, Rørvik Velo
- Bike Lights > Bike Lights, Bike Locks, Cycling Gloves
  [Front Bike Light|Rear Bike Light|Bike Light Set], [50 lm|100 lm|400 lm|800 lm], [USB-C|AAA]
  [Seen from half a kilometre.|Clips on and off without tools.]
- Bike Locks > Bike Lights
  [D-Lock|Folding Lock|Chain Lock|Cable Lock], [Key|Combination], Security Level [6|8|10]
  [Hardened steel with a weatherproof cover.|Comes with a frame bracket.]
- Inner Tubes > Bike Pumps, Inner Tubes
  Inner Tube, [20"|26"|28"|29"], [Presta Valve|Schrader Valve][|, Pack of 2]
  [Butyl rubber that holds its air.|Talcum-coated for easy fitting.]
- Bike Pumps > Inner Tubes, Bike Locks
  [Mini|Floor|Electric] Bike Pump, [8 bar|11 bar][|, with Gauge]
  [Fits Presta and Schrader valves.|Bracket and hose included.]
- Cycling Gloves > Bike Lights
  [Fingerless|Full-Finger|Winter] Cycling Gloves, [Size S|Size M|Size L]
  [Gel pads where the bar presses.|Touchscreen fingertips or quick-pull tabs.]

# Pets | Tried out by our own animals. | Delivered in paper packaging.
## Dogs | Barkworth & Sons, Tumblepaw, Fennimore, Hundeglück
- Dog Food > Dog Food, Dog Treats, Pet Bowls
  [Dry|Wet|Grain-Free] Dog Food, [Chicken and Rice|Lamb|Salmon and Potato|Duck], \
    [Puppy|Adult|Senior], [800 g|2 kg|6 kg]
  [Complete food without added sugar.|Gentle on sensitive stomachs.]
- Dog Leads > Dog Collars, Dog Treats
  [1.2 m|2 m|5 m] [Dog Lead|Retractable Dog Lead|Rope Dog Lead|Training Lead], \
    [Black|Forest Green|Coral|Navy]
  [Padded handle and a strong trigger hook.|Reflective stitching for evening walks.]
- Dog Treats > Dog Treats, Chew Toys
  Dog Treats, [Beef Strips|Chicken Bites|Dental Sticks|Training Treats|Venison Chews], [100 g|250 g|500 g]
  [Air-dried with nothing artificial.|Small enough for a reward on the go.]
- Dog Beds > Dog Blankets, Chew Toys
  [Orthopaedic|Donut|Raised|Cushion] Dog Bed, [Small|Medium|Large], [Grey|Tan|Navy]
  [Cover comes off for the wash.|Deep, supportive filling for older joints.]
- Chew Toys > Dog Treats, Chew Toys
  [Rope|Rubber Bone|Squeaky Duck|Treat Ball] Dog Toy, [Small|Medium|Large][|, Pack of 2]
  [Survives serious chewers.|Keeps paws and mind busy.]
- Dog Collars > Dog Leads
  [Leather|Nylon|Biothane] Dog Collar, [25-35 cm|35-45 cm|45-60 cm], [Black|Forest Green|Coral]
  [Soft edges that don't chafe.|Quick-release buckle with a ring for the tag.]
- Dog Blankets > Dog Beds
  [Fleece Dog Blanket|Sherpa Dog Blanket|Birthday Bandana for Dogs 🎂], \
    [Paw Print|Tartan|Plain Grey], [Small|Large]
  [Soft, warm and machine washable.|For the sofa, the car and the party.]
## Cats | Whiskerby, Tumblepaw, Minkabel
- Cat Food > Cat Food, Cat Treats, Cat Litter
  [Dry|Wet|Grain-Free] Cat Food, [Chicken|Salmon|Tuna|Rabbit], [Kitten|Adult|Senior], [400 g|1 kg|2 kg]
  [Complete food with taurine.|High meat content for fussy cats.]
- Cat Litter > Cat Litter
  [Clumping|Wood Pellet|Silica|Tofu] Cat Litter, [5 l|10 l|20 l][|, Unscented]
  [Locks in smells and hardly tracks.|Low dust and easy to scoop.]
- Cat Toys > Cat Treats, Scratching Posts
  [Feather Wand|Catnip Mouse|Crinkle Tunnel|Ball Track] Cat Toy[|, Pack of 3]
  [Wakes the hunter in the laziest cat.|Safe materials, sewn twice.]
- Scratching Posts > Cat Toys, Cat Treats
  [Sisal|Cardboard|Carpet] Scratching Post, [45 cm|60 cm|120 cm][|, with Perch|, with Bed]
  [Saves the sofa.|Heavy base that doesn't tip.]
- Cat Treats > Cat Treats, Cat Food
  Cat Treats, [Salmon Pillows|Chicken Cream|Dental Bites|Freeze-Dried Cod], [60 g|120 g|200 g]
  [A small reward with few calories.|Crunchy outside, soft inside.]
## Feeding & Grooming | Fennimore, Barkworth & Sons, Whiskerby
- Pet Bowls > Dog Food, Cat Food, Pet Brushes
  [Steel|Ceramic|Slow Feeder|Raised] Pet Bowl, [350 ml|750 ml|1.5 l][|, Set of 2]
  [Non-slip ring at the base.|Easy to clean and hard to tip.]
- Pet Brushes > Pet Shampoo
  [Slicker|Undercoat|Bristle|Massage] Pet Brush, [Short Hair|Long Hair][|, Self-Cleaning]
  [Takes out loose hair before it reaches the carpet.|Rounded tips that don't scratch.]
- Pet Shampoo > Pet Brushes
  Pet Shampoo, [Oatmeal|Aloe Vera|Sensitive|Puppy], [250 ml|500 ml]
  [Mild, soap-free and quick to rinse.|Leaves coats soft and free of tangles.]
## Small Pets & Fish | Reed & Burrow, Pondwick, Fennimore
- Small Animal Bedding > Small Animal Food, Small Animal Bedding
  [Paper|Hemp|Aspen|Wood Shaving] Bedding for Small Animals, [10 l|30 l|50 l]
  [Soft, absorbent and dust extracted.|Good for burrowing.]
- Small Animal Food > Small Animal Bedding, Small Animal Food
  [Rabbit|Guinea Pig|Hamster|Rat] Food, [Nuggets|Muesli|Herb Mix], [500 g|1 kg|2 kg]
  [Plenty of fibre for healthy teeth.|With timothy hay and dandelion.]
- Fish Food > Aquarium Filters, Fish Food
  Fish Food, [Tropical Flakes|Goldfish Pellets|Bottom Feeder Wafers], [50 g|100 g|250 g]
  [Doesn't cloud the water.|Brings out natural colours.]
- Aquarium Filters > Fish Food
  [Internal|Hang-On|External] Aquarium Filter, up to [60 l|120 l|240 l]
  [Quiet pump and simple cartridges.|Biological and mechanical filtering in one.]

# Office | Invoice with VAT on request. | Free delivery from five pieces. | Next-day delivery for schools.
## Paper & Notebooks | Papyrine, Quillford, Lindholm Papper, Inkwell Lane
- Notebooks > Ballpoint Pens, Fountain Pens, Highlighters
  [A5|A4|A6] [Notebook|Spiral Notebook|Hardcover Notebook], [Lined|Dotted|Squared|Plain], \
    [96 Pages|160 Pages|192 Pages][|, Navy|, Ochre]
  [Smooth paper that takes ink without show-through.|Lies flat and has a ribbon marker.]
- Printer Paper > Printer Paper, Ring Binders, Staplers
  [A4|A3] Printer Paper, [75 g/m²|80 g/m²|100 g/m²|120 g/m²], \
    [500 Sheets|1,000 Sheets|2,500 Sheets][|, Recycled]
  [Runs without jams in laser and inkjet printers.|Bright white for clear print.]
- Sticky Notes > Highlighters, Ballpoint Pens
  Sticky Notes, [76 x 76 mm|51 x 51 mm|76 x 127 mm], [Yellow|Pastel|Neon], [6 Pads|12 Pads]
  [Stick well, peel off cleanly.|For plans, margins and monitors.]
- Envelopes > Printer Paper
  [DL|C5|C4] Envelopes, [White|Manila|Cream], Box of [50|100|500][|, Windowed]
  [Self-sealing with a peel-off strip.|Opaque lining.]
## Writing | Quillford, Inkwell Lane, Desmond & Hale, Federmann
- Ballpoint Pens > Notebooks, Sticky Notes
  [Ballpoint Pen|Gel Pen|Rollerball Pen][|s, Pack of 4|s, Pack of 10], \
    [Black Ink|Blue Ink|Red Ink|Green Ink], [0.5 mm|0.7 mm|1.0 mm]
  [Writes at the first stroke.|Soft grip for long meetings.]
- Fountain Pens > Ink Bottles, Notebooks
  [Fountain Pen|Calligraphy Pen|Brass Fountain Pen], [Extra Fine|Fine|Medium|Broad] Nib, \
    [Black|Burgundy|Forest Green]
  [A smooth steel nib and a firm cap.|Takes cartridges or a converter.]
- Highlighters > Sticky Notes, Notebooks
  [Highlighters|Pastel Highlighters|Double-Ended Highlighters], Pack of [4|6|10]
  [Chisel tip for two line widths.|Doesn't smudge printed text.]
- Pencils > Notebooks
  [Graphite Pencils|Drawing Pencils], [HB|2B|4B|Mixed Grades], Pack of [6|12|24]
  [Break-resistant leads and a smooth line.|Cedar barrels that sharpen well.]
- Ink Bottles > Fountain Pens, Ink Bottles
  Fountain Pen Ink, [Midnight Black|Harbour Blue|Moss|Oxblood], [30 ml|50 ml]
  [Flows well and dries quickly.|Washes out of nibs, less so of shirts.]
## Desk & Chair | Desmond & Hale, Lindholm Kontor, Keymoor
- Desk Lamps > Desk Organisers, Monitor Stands
  [LED Desk Lamp|Clamp Desk Lamp|Architect Desk Lamp], [Black|White|Brass][|, Dimmable|, USB Port]
  [Bright, even light without glare.|Stays exactly where you point it.]
- Office Chairs > Desk Lamps
  [Mesh|Fabric|Leather] Office Chair, [Black|Grey|Petrol][|, Headrest|, Adjustable Arms]
  [Lumbar support and a smooth tilt.|Adjusts from the seat without getting up.]
- Monitor Stands > Keyboards, Desk Organisers
  [Bamboo|Steel|Walnut|Oak] Monitor Stand[|, with Drawer|, for Two Screens]
  [Lifts the screen to eye level.|Room for the keyboard underneath.]
- Desk Organisers > Ballpoint Pens, Sticky Notes
  [Mesh|Bamboo|Felt] Desk Organiser, [4 Compartments|6 Compartments][|, with Drawer]
  [Pens, clips and phone in one place.|Rubber feet spare the desk.]
## Filing | Papyrine, Lindholm Kontor
- Ring Binders > Plastic Wallets
  [A4|A5] [Ring Binder|Lever Arch File], [Black|Red|Blue|Green], [50 mm|75 mm][|, Pack of 5]
  [Metal edges and a label window.|Opens smoothly after years of use.]
- Plastic Wallets > Ring Binders
  A4 Plastic Wallets, [Clear|Matt|Reinforced], Pack of [50|100]
  [Eleven holes fit every binder.|Glass clear and copy safe.]
- Staplers > Printer Paper
  [Half-Strip|Full-Strip|Heavy-Duty] Stapler[| with 1,000 Staples], [20 Sheets|50 Sheets]
  [Jam-free with a soft grip.|Opens flat for notice boards.]

# Baby | Tested for harmful substances. | Chosen by parents.
## Nappies & Changing | Small Otter, Pipkin & Plum, Bärchen
- Nappies > Nappies, Baby Wipes, Nappy Cream
  [Nappies|Nappy Pants|Overnight Nappies], [Size 1|Size 2|Size 3|Size 4|Size 5], Pack of [24|44|80]
  [Dry for up to twelve hours.|Soft waistband and a wetness line.]
- Baby Wipes > Baby Wipes, Nappies
  [Water Wipes|Sensitive Baby Wipes|Aloe Baby Wipes], [1 x 60|4 x 60|12 x 60]
  [Nothing but water and cotton fibre.|Free of perfume.]
- Nappy Cream > Baby Wipes
  [Nappy Cream|Zinc Barrier Cream|Baby Balm], [50 ml|100 ml|250 ml]
  [Soothes sore skin overnight.|Spreads easily and rinses off.]
- Changing Mats > Baby Wipes, Nappies
  [Padded|Travel|Wedge] Changing Mat, [Clouds|Forest Animals|Stars|Plain Grey]
  [Raised sides keep wrigglers in.|Folds up for the changing bag.]
## Feeding | Small Otter, Nestling & Co, Pipkin & Plum
- Baby Bottles > Bibs, Dummies
  [Glass|Anti-Colic|Silicone] Baby Bottle, [150 ml|240 ml|330 ml], \
    [Slow Flow|Medium Flow|Fast Flow][|, Pack of 2]
  [A teat shaped for easy latching.|Few parts, quickly cleaned.]
- Bibs > Weaning Bowls, Bibs
  [Cotton|Silicone|Long-Sleeved] Bib[s, Pack of 3|s, Pack of 5|], [Foxes|Rainbows|Plain Sage]
  [Catches what misses the mouth.|Adjustable neck for every age.]
- Weaning Bowls > Bibs, High Chairs
  [Suction Bowl|Suction Plate|Bowl and Spoon Set], [Silicone|Bamboo], [Sage|Apricot|Sky Blue]
  [Sticks to the tray until you say otherwise.|Safe in microwave or steriliser.]
- High Chairs > Weaning Bowls, Bibs
  [Folding|Wooden|3-in-1] High Chair, [White|Natural|Grey][|, with Cushion]
  [Grows along until school age.|Tray comes off with one hand.]
- Dummies > Baby Bottles
  [Natural Rubber|Silicone] Dummies, [0-6 Months|6-18 Months], [Pack of 2|Pack of 4][|, Glow in the Dark]
  [Light, soft and easy to find at night.|Comes with a steriliser box.]
## Sleep | Moonbarrow, Nestling & Co, Bärchen
- Baby Sleeping Bags > Night Lights, Cot Sheets
  Baby Sleeping Bag, [0.5 Tog|1 Tog|2.5 Tog], [0-6 Months|6-18 Months|18-36 Months], [Clouds|Foxes|Stars]
  [Stays on all night, unlike blankets.|Two-way zip for quick changes.]
- Night Lights > Baby Sleeping Bags, Baby Monitors
  [Moon|Bunny|Hedgehog|Star Projector] Night Light[|, Rechargeable|, with Lullabies]
  [A warm glow that dims by itself.|Soft enough to cuddle.]
- Baby Monitors > Night Lights
  [Audio|Video|Movement] Baby Monitor, [50 m|300 m] Range[|, Two-Way Talk]
  [Quiet when the baby is.|Shows the room temperature.]
- Cot Sheets > Baby Sleeping Bags
  [Jersey|Organic Cotton|Muslin] Cot Sheet[|s, Pack of 2], [60 x 120 cm|70 x 140 cm]
  [Elastic all round, so it stays on.|Gets softer with every wash.]
## Toys | Pipkin & Plum, Tillywood, Moonbarrow
- Soft Toys > Baby Books, Rattles
  [Elephant|Rabbit|Otter|Bear|Sheep] Soft Toy, [18 cm|25 cm|40 cm][|, with Rattle]
  [Embroidered eyes, safe from birth.|Made to be loved to pieces.]
- Stacking Toys > Baby Books, Soft Toys
  [Wooden Stacking Rings|Stacking Cups|Shape Sorter|Building Blocks], [Rainbow|Pastel|Natural]
  [For little hands that like to build.|Painted with water-based colours.]
- Rattles > Soft Toys
  [Wooden|Knitted|Silicone] Rattle[|, with Teether], [Fox|Whale|Hedgehog]
  [Light and easy to hold.|A gentle sound that won't startle.]
- Baby Books > Stacking Toys
  Baby Cloth Book, ["Who Says Moo?"|"Goodnight, Hedgehog"|"Ten Small Fingers"|"Where Is Otter?"]
  [Crinkly pages to feel and chew.|High contrast for the youngest readers.]
"""


@dataclass(frozen=True)
class ProductType:
    """A kind of product.

    Attributes:
        weight: how many of the catalogue's items are of this type, relative to other types.
        title, description: patterns.
        closers: sentences that may end a description.
        goes_with: names of the types which are bought after it.
    """

    name: str
    department: str
    category: str
    weight: int
    brands: tuple[str, ...]
    title: str
    description: str
    closers: tuple[str, ...]
    goes_with: tuple[str, ...]


def product_types() -> list[ProductType]:
    """The types of WORDS, in order. Weights fall with the ranks of department, category and type (Zipf)."""
    types: list[ProductType] = []
    lines = iter(WORDS.strip().splitlines())
    department, category, ranks = [""], [""], [-1, -1, -1]
    for line in lines:
        mark, _, text = line.partition(" ")
        if mark == "#":
            department, ranks = text.split(" | "), [ranks[0] + 1, -1, -1]
        elif mark == "##":
            category, ranks = text.split(" | "), [ranks[0], ranks[1] + 1, -1]
        elif mark == "-":
            ranks[2] += 1
            name, goes_with = text.split(" > ")
            types.append(
                ProductType(
                    name=name,
                    department=department[0],
                    category=category[0],
                    weight=1_000_000 // ((ranks[0] + 3) * (ranks[1] + 2) * (ranks[2] + 2)),
                    brands=tuple(category[1].split(", ")),
                    title=" ".join(next(lines).split()),
                    description=" ".join(next(lines).split()),
                    closers=tuple(department[1:]),
                    goes_with=tuple(goes_with.split(", ")),
                )
            )
    return types
