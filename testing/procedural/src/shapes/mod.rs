//! The categories.

mod appliances;
mod common;
mod seating;
mod storage;
mod table;
mod vessels;

use crate::Category;

/// Every category.
pub const CATEGORIES: &[Category] = &[
    Category { name: "Bottle", parts: &["lid"], build: vessels::bottle },
    Category { name: "Chair", parts: &["arm", "back", "leg", "seat", "wheel"], build: seating::chair },
    Category { name: "Kettle", parts: &["lid", "handle", "spout"], build: vessels::kettle },
    Category { name: "KitchenPot", parts: &["lid", "handle"], build: vessels::pot },
    Category {
        name: "Microwave",
        parts: &["display", "door", "handle", "button"],
        build: appliances::microwave,
    },
    Category { name: "Oven", parts: &["door", "knob"], build: appliances::oven },
    Category { name: "StorageFurniture", parts: &["door", "drawer", "handle"], build: storage::furniture },
    Category {
        name: "Table",
        parts: &["door", "drawer", "leg", "tabletop", "wheel", "handle"],
        build: table::table,
    },
];
