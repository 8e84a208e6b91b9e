//! The categories.

mod appliances;
mod common;
mod seating;
mod small;
mod storage;
mod table;
mod things;
mod vessels;

use crate::Category;

/// Every category.
pub const CATEGORIES: &[Category] = &[
    Category { name: "Bottle", parts: &["lid"], build: vessels::bottle },
    Category { name: "Box", parts: &["lid"], build: things::carton },
    Category { name: "Bucket", parts: &["handle"], build: vessels::bucket },
    Category { name: "Camera", parts: &["button", "lens"], build: small::camera },
    Category { name: "Cart", parts: &["wheel"], build: things::cart },
    Category { name: "Chair", parts: &["arm", "back", "leg", "seat", "wheel"], build: seating::chair },
    Category { name: "Clock", parts: &["hand"], build: things::clock },
    Category {
        name: "CoffeeMachine",
        parts: &["button", "container", "knob", "lid"],
        build: appliances::coffee_machine,
    },
    Category { name: "Dishwasher", parts: &["door", "handle"], build: appliances::dishwasher },
    Category { name: "Display", parts: &["base", "screen", "support"], build: things::display },
    Category { name: "Door", parts: &["frame", "door", "handle"], build: things::door_frame },
    Category { name: "Eyeglasses", parts: &["body", "leg"], build: small::eyeglasses },
    Category { name: "Faucet", parts: &["spout", "switch"], build: vessels::faucet },
    Category { name: "FoldingChair", parts: &["seat"], build: seating::folding },
    Category { name: "Kettle", parts: &["lid", "handle", "spout"], build: vessels::kettle },
    Category { name: "KitchenPot", parts: &["lid", "handle"], build: vessels::pot },
    Category { name: "Knife", parts: &["blade"], build: small::knife },
    Category { name: "Lamp", parts: &["base", "body", "bulb", "shade"], build: things::lamp },
    Category {
        name: "Laptop",
        parts: &["keyboard", "screen", "shaft", "touchpad", "camera"],
        build: things::laptop,
    },
    Category {
        name: "Microwave",
        parts: &["display", "door", "handle", "button"],
        build: appliances::microwave,
    },
    Category { name: "Oven", parts: &["door", "knob"], build: appliances::oven },
    Category { name: "Pen", parts: &["cap", "button"], build: small::pen },
    Category { name: "Refrigerator", parts: &["door", "handle"], build: appliances::refrigerator },
    Category { name: "Remote", parts: &["button"], build: small::remote },
    Category { name: "Scissors", parts: &["blade", "handle", "screw"], build: small::scissors },
    Category { name: "Stapler", parts: &["body", "lid"], build: small::stapler },
    Category { name: "StorageFurniture", parts: &["door", "drawer", "handle"], build: storage::furniture },
    Category { name: "Suitcase", parts: &["handle", "wheel"], build: things::suitcase },
    Category { name: "Switch", parts: &["switch"], build: small::switch },
    Category {
        name: "Table",
        parts: &["door", "drawer", "leg", "tabletop", "wheel", "handle"],
        build: table::table,
    },
    Category { name: "TrashCan", parts: &["footpedal", "lid", "door"], build: things::trash_can },
    Category { name: "WashingMachine", parts: &["door", "button"], build: appliances::washing_machine },
];
