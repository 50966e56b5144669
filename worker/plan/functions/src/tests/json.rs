//! SQL/JSON.

use super::*;

#[test]
fn a_scalar_is_taken_from_a_document() {
    const DOCUMENT: &str = r#"{"a": true, "b": {"c d": [0.998, "x\u00e9\n", null, 10]}, "e": "12"}"#;
    expect(vec![
        ("json_value", args![DOCUMENT, "$.a"], "true"),
        ("json_value", args![DOCUMENT, "$.a", "BOOLEAN"], "TRUE"),
        ("json_value", args![DOCUMENT, "$.b['c d'][0]", "DOUBLE"], "0.998"),
        ("json_value", args![DOCUMENT, "$.b['c d'][1]"], "xé\n"),
        ("json_value", args![DOCUMENT, "$.b.[\"c d\"][3]", "INTEGER"], "10"),
        ("json_value", args![DOCUMENT, "$.b['c d'][-1]", "BIGINT"], "10"),
        ("json_value", args![DOCUMENT, "$.b['c d'][2]"], "NULL"),
        ("json_value", args![DOCUMENT, "$.b"], "NULL"),
        ("json_value", args![DOCUMENT, "lax $.x", "STRING", "DEFAULT", false], "false"),
        ("json_value", args![DOCUMENT, "strict $.x", "STRING", "NULL", NULL, "DEFAULT", "wrong"], "wrong"),
        ("json_value", args![DOCUMENT, "$.a", "INTEGER", "NULL", NULL, "DEFAULT", 7], "7"),
        ("json_value", args![DOCUMENT, "$.x", "STRING", "DEFAULT", "empty", "DEFAULT", "wrong"], "wrong"),
        ("json_value", args!["not json", "$.a"], "NULL"),
        ("json_value", args![None::<&str>, "$.a"], "NULL"),
        ("json_value", args!["1e3", "$"], "1000.0"),
    ]);
    expect_refusal(vec![
        ("json_value", args![DOCUMENT, "$..a"], "JSON path '$..a' is not supported from '..a' on"),
        ("json_value", args![DOCUMENT, "$.a", "DATE"], "JSON_VALUE cannot return DATE"),
        ("json_value", args![DOCUMENT, "lax $.x", "STRING", "ERROR"], "the result of path 'lax $.x' is empty"),
    ]);
    expect_types(vec![("json_value", args![DOCUMENT, "$.a", "INTEGER"], DataType::Int32)]);
}

#[test]
fn a_part_is_taken_from_a_document() {
    const DOCUMENT: &str = r#"{"b": {"z": 1, "a": [1, 2]}, "c": [{"d": 1}, {"d": 2}]}"#;
    expect(vec![
        ("json_query", args![r#"{"a": 1, "b": 2, "a": 3}"#, "$"], r#"{"a":3,"b":2}"#),
        ("json_query", args![DOCUMENT, "$.b"], r#"{"z":1,"a":[1,2]}"#),
        ("json_query", args![DOCUMENT, "$.c[*].d"], "[1,2]"),
        ("json_query", args![DOCUMENT, "$.b.z"], "NULL"),
        ("json_query", args![DOCUMENT, "$.b.z", "UNCONDITIONAL"], "[1]"),
        ("json_query", args![DOCUMENT, "$.b.a", "CONDITIONAL"], "[1,2]"),
        ("json_query", args![DOCUMENT, "lax $.x", "WITHOUT", "EMPTY ARRAY"], "[]"),
        ("json_query", args![DOCUMENT, "$.x", "WITHOUT", "EMPTY ARRAY"], "NULL"),
        ("json_query", args![DOCUMENT, "$.x", "WITHOUT", "NULL", "EMPTY ARRAY"], "[]"),
        (
            "json_query",
            args!["[1.50, 1e5, -0.0, 0.00001, 12e-1, 100, 1.5E-9]", "$"],
            "[1.50,1E+5,0.0,0.00001,1.2,100,1.5E-9]",
        ),
        ("json_query", args!["{", "$.x", "WITHOUT", "NULL", "EMPTY OBJECT"], "{}"),
        ("json_exists", args![DOCUMENT, "$.c[1].d"], "TRUE"),
        ("json_exists", args![DOCUMENT, "$.c[2]"], "FALSE"),
        ("json_exists", args![DOCUMENT, "strict $.x", "TRUE"], "TRUE"),
        ("json_exists", args![DOCUMENT, "strict $.x", "UNKNOWN"], "NULL"),
        ("is_json", args!["[]"], "TRUE"),
        ("is_json", args!["1", "SCALAR"], "TRUE"),
        ("is_json", args!["{}", "ARRAY"], "FALSE"),
        ("is_json", args!["{} x"], "FALSE"),
        ("is_json", args!["01"], "FALSE"),
        ("is_json", args![None::<&str>], "FALSE"),
    ]);
    expect_refusal(vec![("json_exists", args![DOCUMENT, "strict $.x", "ERROR"], "is an error")]);
}

#[test]
fn documents_are_written() {
    expect(vec![
        ("json_string", args!["a\"b\u{1}"], r#""a\"b\u0001""#),
        ("json_string", args![1.5], "1.5"),
        ("json_string", args![true], "true"),
        ("json_string", args![None::<i32>], "NULL"),
        ("json_string", args![timestamp("2026-03-01 10:00:00.120")], r#""2026-03-01T10:00:00.12""#),
        ("json_object", args!["NULL", "k2", 2, "k1", None::<&str>], r#"{"k1":null,"k2":2}"#),
        ("json_object", args!["ABSENT", "k1", None::<&str>, "k2", "x"], r#"{"k2":"x"}"#),
        ("json_object", args!["NULL"], "{}"),
        ("json_array", args!["NULL", 1e21, 123_456_789.5, 0.1_f32], "[1.0E+21,123456789.5,0.10000000149011612]"),
        ("json_array", args!["ABSENT", 1, None::<i32>, "x"], r#"[1,"x"]"#),
        ("json_array", args!["NULL", 1, None::<i32>], "[1,null]"),
        ("json_array", args!["ABSENT"], "[]"),
    ]);
}
