//! The names of persons and places.

/// First names.
pub(crate) const FIRST: [&str; 16] = [
    "Ada", "Bruno", "Chloe", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Keiko",
    "Lars", "Mara", "Nils", "Olga", "Pedro",
];

/// Last names.
pub(crate) const LAST: [&str; 16] = [
    "Abel", "Berg", "Castro", "Dahl", "Engel", "Fischer", "Garcia", "Hansen", "Ito", "Jansen",
    "Keller", "Lopez", "Moser", "Novak", "Okafor", "Petrov",
];

/// Cities, each with its state.
pub(crate) const CITIES: [(&str, &str); 10] = [
    ("Phoenix", "AZ"),
    ("Los Angeles", "CA"),
    ("San Francisco", "CA"),
    ("Boise", "ID"),
    ("Portland", "OR"),
    ("Bend", "OR"),
    ("Seattle", "WA"),
    ("Redmond", "WA"),
    ("Kent", "WA"),
    ("Cheyenne", "WY"),
];
