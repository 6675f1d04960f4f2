//! Keys of the files that other rooms read: data set manifests and hardware profiles.
//!
//! Their parsers are derived from types; `tests.rs` asks these parsers for their keys and words
//! and fails if a table here knows others.

use crate::config::keys::{Key, RELATIVE, Shape};

/// Keys of a data set manifest.
pub(super) static DATASET: [Key; 12] = [
    Key::must("name", Shape::Name, "The same as the file's name."),
    Key::must("summary", Shape::Text, "One sentence for `quantbench list datasets`."),
    Key::must(
        "loader",
        Shape::Word(&["cifar10", "cifar100", "idx", "folder", "shapes10"]),
        "How its records are read.",
    ),
    Key::must("classes", Shape::Whole(2, 65_536), "Number of classes; labels are below it."),
    Key::may(
        "class_names",
        Shape::Set(&Shape::Text),
        "Names of the class folders in the order of the classes, for folder.",
    ),
    Key::must("dims", Shape::List(&Shape::Whole(1, 4096), 3, Some(3)), "Channels, height, width."),
    Key::may(
        "files",
        Shape::Map(&FILES),
        "Paths below a data folder; for idx images and then labels, for folder the folder.",
    ),
    Key::may(
        "archives",
        Shape::List(&Shape::Map(&ARCHIVE), 0, None),
        "Archives that hold these files, the one to recommend first.",
    ),
    Key::may("images", Shape::Map(&IMAGES), "Number of images of each split."),
    Key::may("hashes", Shape::Map(&HASHES), "Order-free hash of each split."),
    Key::must("source", Shape::Text, "Paper and page that it comes from."),
    Key::must("licence", Shape::Text, "As its publisher states it, else: none stated."),
];

const PATHS: Shape = Shape::List(&Shape::Form(RELATIVE), 0, None);
const SHA256: Shape = Shape::Form("^[0-9a-f]{64}$");

static FILES: [Key; 2] =
    [Key::must("train", PATHS, "Training split."), Key::must("test", PATHS, "Test split.")];

static ARCHIVE: [Key; 4] = [
    Key::must(
        "file",
        Shape::Form(r"^[^/].*\.(?:tar\.gz|tgz|tar\.xz|gz|xz)$"),
        "Path below a data folder.",
    ),
    Key::may("url", Shape::Text, "Where it can be fetched."),
    Key::may("sha256", SHA256, "SHA-256; either this or md5."),
    Key::may("md5", Shape::Form("^[0-9a-f]{32}$"), "MD5, where that is what its publisher states."),
];

static IMAGES: [Key; 2] = [
    Key::must("train", Shape::Whole(0, u64::MAX), "Training split."),
    Key::must("test", Shape::Whole(0, u64::MAX), "Test split."),
];

static HASHES: [Key; 2] =
    [Key::must("train", SHA256, "Training split."), Key::must("test", SHA256, "Test split.")];

/// Keys of a hardware profile.
pub(super) static PROFILE: [Key; 6] = [
    Key::must("name", Shape::Name, "The same as the file's name."),
    Key::must("summary", Shape::Text, "One sentence for `quantbench list profiles`."),
    Key::must(
        "execution",
        Shape::Word(&["measured", "emulated", "modelled"]),
        "How its numbers come about.",
    ),
    Key::must("executes", Shape::Map(&EXECUTES), "What it executes in integers."),
    Key::must("source", Shape::Text, "Where the limits were read."),
    Key::may(
        "cost",
        super::costs::COST,
        "How its cost is modelled, every constant with its source.",
    ),
];

const BITS: Shape = Shape::Set(&Shape::Either(&[Shape::Whole(1, 16), Shape::Whole(32, 32)]));

static EXECUTES: [Key; 5] = [
    Key::must("weight_bits", BITS, "Weight widths with integer kernels, ascending."),
    Key::must("activation_bits", BITS, "Activation widths, ascending."),
    Key::must("ternary", Shape::Switch, "Whether ternary weights have a mapping of their own."),
    Key::must(
        "per_channel_weights",
        Shape::Switch,
        "Whether weights may have a scale per output channel.",
    ),
    Key::must(
        "sites",
        Shape::Word(&["academic", "deployable"]),
        "Placement of quantizers that lets every layer run in integers.",
    ),
];
