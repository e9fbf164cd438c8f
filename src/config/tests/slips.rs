//! Promises about values that a shell, an env file or an editor has spoiled: every key names it, from every source.

use super::*;

#[test]
fn quotes_and_white_space_around_a_value_are_named_for_every_key_and_source() {
    for key in KEYS {
        let right = plain(&other_value(key));
        let is_list = matches!(key.kind, ValueKind::Filter | ValueKind::Origins | ValueKind::Hosts);
        for (spoiled, part) in [
            (format!("\"{right}\""), "it stands in quotes"),
            (format!("'{right}'"), "it stands in quotes"),
            (format!("“{right}”"), "it stands in quotes"),
            (format!("\"{right}\"\r"), "it stands in quotes"),
            (format!("{right}\r"), "carriage return"),
            (format!("{right} "), "white space"),
            (format!("\u{feff}{right}"), "invisible"),
        ] {
            let variable = load_all(None, &[(&key.variable(), &spoiled)], &[]);
            if is_list && !part.contains("quotes") {
                // Items of a list are trimmed.
                assert!(variable.is_ok() || spoiled.starts_with('\u{feff}'), "{spoiled:?}: {variable:?}");
                continue;
            }
            let error = variable.expect_err(&spoiled).to_string();
            assert!(error.starts_with(&key.variable()) && error.contains(part), "{spoiled:?}: {error}");
            // `--set` trims.
            if part.contains("quotes") {
                let error = load_all(None, &[], &["--set", &format!("{}={spoiled}", key.path)])
                    .expect_err(&spoiled)
                    .to_string();
                assert!(error.contains(part), "{spoiled:?}: {error}");
            }
            let is_text = matches!(
                key.kind,
                ValueKind::Address | ValueKind::Word(_) | ValueKind::Data | ValueKind::Secret | ValueKind::Filter
            );
            if is_text {
                let quoted = format!("{spoiled:?}");
                let error = errors_of(&format!("{} = {}", key.path, quoted.replace("\\u{feff}", "\\uFEFF")));
                assert!(error.contains(part), "{spoiled:?}: {error}");
            }
        }
    }
}

#[test]
fn a_spoiled_data_directory_is_never_made() {
    for (given, expected) in [
        ("\"memory\"", "VOLLEY_DATA: data = \"memory\": it stands in quotes, which are a part of it here; remove them"),
        ("\"/var/lib/volley-data\"", "VOLLEY_DATA: data: it stands in quotes"),
        ("'memory", "VOLLEY_DATA: data = 'memory: it begins or ends with a quotation mark"),
        ("memory\r", "it ends with a carriage return"),
        (" ", "only white space"),
        ("", "expected a directory, or \"memory\", found nothing"),
        ("~/volley", "`~` is expanded by shells only; write the whole path"),
        ("$HOME/volley", "variables are expanded by shells only"),
        ("file:///var/lib/volley", "it is a URL"),
        ("Memory", "write memory, in lower case"),
    ] {
        let error = load_all(None, &[("VOLLEY_DATA", given)], &[]).expect_err(given).to_string();
        assert!(error.contains(expected), "{given:?}: {error}");
        assert!(load_all(None, &[], &["--data", given]).is_err(), "{given:?}");
    }
    let file = errors_of("data = \"'memory'\"");
    assert!(file.starts_with("volley.toml:1:1: data = \"'memory'\": it stands in quotes"), "{file}");
}

#[test]
fn a_spoiled_name_of_the_configuration_file_is_named() {
    for (given, expected) in [
        ("\"volley.toml\"", "it stands in quotes"),
        ("volley.toml\r", "carriage return"),
        ("~/volley.toml", "`~` is expanded by shells only"),
        ("", "expected the path of a TOML file, found nothing"),
    ] {
        let by_variable = load_all(None, &[("VOLLEY_CONFIG", given)], &[]).expect_err(given).to_string();
        assert!(by_variable.starts_with("VOLLEY_CONFIG: ") && by_variable.contains(expected), "{by_variable}");
        let args = Args { config: Some(given.into()), ..Args::default() };
        let by_flag = load(&args, std::iter::empty(), |_| Ok(String::new())).expect_err(given).to_string();
        assert!(by_flag.starts_with("--config: ") && by_flag.contains(expected), "{by_flag}");
    }
}

#[test]
fn a_list_in_a_variable_has_commas_and_neither_brackets_nor_quotes() {
    let origins = |given: &str| load_all(None, &[("VOLLEY_ADMISSION_ORIGINS", given)], &[]);
    let right = origins("https://a.example, https://b.example/\r").unwrap();
    assert_eq!(right.config.admission.origins.texts().count(), 2);
    for (given, expected) in [
        ("[\"https://a.example\"]", "without brackets and quotes"),
        ("\"https://a.example\"", "it stands in quotes"),
        ("\"https://a.example\",\"https://b.example\"", "it stands in quotes"),
        ("https://a.example https://b.example", "item 1: it has a space"),
        ("https://a.example;https://b.example", "item 1: it has a space, a comma or a semicolon"),
    ] {
        let error = origins(given).expect_err(given).to_string();
        assert!(error.contains(expected), "{given}: {error}");
    }
}
