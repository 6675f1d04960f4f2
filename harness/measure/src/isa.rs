//! Instruction-set features that decide which kernels a runtime picks.

/// Names of the features that this CPU has, of those that matter to FP32 and integer kernels,
/// in a fixed order.
///
/// x86-64: `avx2`, `fma`, `avx512f`, `avx512bw`, `avx512vnni`, `avxvnni`, `amx-int8`;
/// AArch64: `neon`, `dotprod`, `i8mm`, `sve`.
/// Empty on other architectures.
pub fn isa_features() -> Vec<String> {
    detected().into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_string()).collect()
}

/// Short label of the kernels that this CPU gets, for example `x86-64-avx512-vnni`,
/// `x86-64-avx2` or `aarch64-dotprod`.
///
/// Results are compared bit for bit within one class only: FP32 kernels of different vector
/// widths add in a different order, and 8-bit kernels without VNNI saturate intermediate sums.
/// The label therefore enters the id of an evaluation.
///
/// Where `QUANTBENCH_ISA=avx2` holds ONNX Runtime to AVX2, that is the label.
pub fn isa_class() -> String {
    let mut features = isa_features();
    if std::env::var_os(CAP).is_some_and(|asked| asked == "avx2") {
        features.retain(|f| f == "avx2" || f == "fma");
    }
    class_of(std::env::consts::ARCH, &features)
}

/// The variable that holds the runtime to a smaller instruction set.
const CAP: &str = "QUANTBENCH_ISA";

/// The label for an architecture with these features.
fn class_of(arch: &str, features: &[String]) -> String {
    let has = |name: &str| features.iter().any(|f| f == name);
    let parts: Vec<&str> = match arch {
        "x86_64" => {
            // MLAS uses its 512-bit integer kernels only where byte and word operations exist.
            let vector = if has("avx512f") && has("avx512bw") {
                "avx512"
            } else if has("avx2") && has("fma") {
                "avx2"
            } else {
                "sse2"
            };
            let dot = if has("amx-int8") {
                "amx"
            } else if (vector == "avx512" && has("avx512vnni"))
                || (vector == "avx2" && has("avxvnni"))
            {
                "vnni"
            } else {
                ""
            };
            vec!["x86-64", vector, dot]
        }
        "aarch64" => {
            let dot = if has("i8mm") {
                "i8mm"
            } else if has("dotprod") {
                "dotprod"
            } else {
                "neon"
            };
            vec!["aarch64", dot, if has("sve") { "sve" } else { "" }]
        }
        other => vec![other],
    };
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Vec<(&'static str, bool)> {
    vec![
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
        ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ("avxvnni", std::arch::is_x86_feature_detected!("avxvnni")),
        // The standard library does not offer AMX detection on stable; the kernel's list does.
        ("amx-int8", crate::procfs::has_cpu_flag("amx_int8")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn detected() -> Vec<(&'static str, bool)> {
    vec![
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> Vec<(&'static str, bool)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(arch: &str, features: &str) -> String {
        let features: Vec<String> = features.split_whitespace().map(str::to_string).collect();
        class_of(arch, &features)
    }

    #[test]
    fn labels_name_the_widest_kernels() {
        let cases = [
            ("x86_64", "", "x86-64-sse2"),
            ("x86_64", "avx2", "x86-64-sse2"),
            ("x86_64", "avx2 fma", "x86-64-avx2"),
            ("x86_64", "avx2 fma avxvnni", "x86-64-avx2-vnni"),
            ("x86_64", "avx2 fma avx512f", "x86-64-avx2"),
            ("x86_64", "avx2 fma avx512f avx512bw", "x86-64-avx512"),
            ("x86_64", "avx2 fma avx512f avx512bw avx512vnni avxvnni", "x86-64-avx512-vnni"),
            ("x86_64", "avx2 fma avx512f avx512bw avx512vnni amx-int8", "x86-64-avx512-amx"),
            ("aarch64", "neon", "aarch64-neon"),
            ("aarch64", "neon dotprod", "aarch64-dotprod"),
            ("aarch64", "neon dotprod i8mm sve", "aarch64-i8mm-sve"),
            ("riscv64", "", "riscv64"),
        ];
        for (arch, features, label) in cases {
            assert_eq!(class(arch, features), label, "{arch} with {features:?}");
        }
    }

    #[test]
    fn this_machine_has_a_class_and_it_is_stable() {
        assert_eq!(isa_class(), isa_class());
        let expected = match std::env::consts::ARCH {
            "x86_64" => "x86-64-",
            "aarch64" => "aarch64-",
            other => other,
        };
        assert!(isa_class().starts_with(expected), "{}", isa_class());
    }
}
