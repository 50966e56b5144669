//! Strings.

use super::*;

#[test]
fn letters_change_as_in_flink() {
    expect(vec![
        ("upper", args!["straße"], "STRASSE"),
        ("upper", args![None::<&str>], "NULL"),
        ("lower", args!["ÄBC"], "äbc"),
        ("initcap", args!["hello wORLD-x1y"], "Hello World-X1y"),
        ("reverse", args!["añb"], "bña"),
        ("char_length", args!["añb😀"], "4"),
        ("character_length", args![""], "0"),
        ("ascii", args!["abc"], "97"),
        ("ascii", args![""], "0"),
        ("chr", args![353], "a"),
        ("chr", args![-1], ""),
        ("upper", args![12], "12"),
    ]);
    expect_types(vec![("char_length", args!["a"], DataType::Int32), ("ascii", args!["a"], DataType::Int32)]);
}

#[test]
fn pieces_are_cut_by_character() {
    expect(vec![
        ("substring", args!["hello", 2], "ello"),
        ("substring", args!["hello", 2, 3], "ell"),
        ("substr", args!["hello", -3], "llo"),
        ("substring", args!["hello", -3, 2], "ll"),
        ("substring", args!["hello", 0, 2], "he"),
        ("substring", args!["hello", -9], ""),
        ("substring", args!["hello", 9], ""),
        ("substring", args!["hello", 1, -1], "NULL"),
        ("substring", args!["añb😀", 2, 2], "ñb"),
        ("left", args!["hello", 2], "he"),
        ("left", args!["hello", -2], ""),
        ("left", args!["hello", None::<i32>], "NULL"),
        ("right", args!["hello", 2], "lo"),
        ("right", args!["hello", 9], "hello"),
        ("right", args!["hello", -1], ""),
        ("overlay", args!["xxxxxtest", "xxxx", 6], "xxxxxxxxx"),
        ("overlay", args!["xxxxxtest", "xxxx", 6, 2], "xxxxxxxxxst"),
        ("overlay", args!["abc", "x", 0], "abc"),
        ("split_index", args!["a,b,,d", ",", 1], "b"),
        ("split_index", args!["a,b,,d", ",", 2], ""),
        ("split_index", args!["a,b", ",", 2], "NULL"),
        ("split_index", args!["a,b", ",", -1], "NULL"),
        ("split_index", args!["", ",", 0], "NULL"),
        ("split_index", args!["a,b", 44, 1], "b"),
        ("split_index", args!["a--b--c", "--", 2], "c"),
        ("split", args!["a;b;c", ";"], "[a, b, c]"),
        ("split", args!["", ";"], "[]"),
        ("replace", args!["ababab", "abab", "z"], "zab"),
        ("replace", args!["abc", "", "-"], "-a-b-c-"),
        ("translate", args!["abcba", "ab", "x"], "xcx"),
    ]);
}

#[test]
fn strings_are_trimmed_padded_and_joined() {
    expect(vec![
        ("trim", args!["  a b "], "a b"),
        ("btrim", args!["\t a"], "\t a"),
        ("btrim", args!["xyaxy", "yx"], "a"),
        ("ltrim", args!["xxaxx", "x"], "axx"),
        ("rtrim", args!["a  "], "a"),
        ("lpad", args!["hi", 5, "ab"], "abahi"),
        ("lpad", args!["hi", 1, "?"], "h"),
        ("lpad", args!["hi", -1, "?"], "NULL"),
        ("lpad", args!["hi", 4, ""], "NULL"),
        ("rpad", args!["hi", 5, "ab"], "hiaba"),
        ("rpad", args!["hi", 0, "ab"], ""),
        ("repeat", args!["ab", 3], "ababab"),
        ("repeat", args!["ab", -1], ""),
        ("concat", args!["a", "b", "c"], "abc"),
        ("concat", args!["a", None::<&str>], "NULL"),
        ("concat", args!["a", 1], "a1"),
        ("concat_ws", args!["~", "AA", None::<&str>, "BB", "", "CC"], "AA~BB~~CC"),
        ("concat_ws", args![None::<&str>, "a"], "NULL"),
        ("elt", args![2, "a", "b"], "b"),
        ("elt", args![3, "a", "b"], "NULL"),
    ]);
    expect_refusal(vec![("repeat", args!["abcdefgh", i32::MAX], "longer than a string may be")]);
}

#[test]
fn positions_count_from_one_and_zero_is_not_found() {
    expect(vec![
        ("position", args!["lo", "hello"], "4"),
        ("position", args!["x", "hello"], "0"),
        ("position", args!["ñ", "añb"], "2"),
        ("locate", args!["l", "hello", 4], "4"),
        ("locate", args!["l", "hello", 5], "0"),
        ("locate", args!["", "abc"], "1"),
        ("locate", args!["", "abc", 3], "1"),
        ("instr", args!["hello", "l"], "3"),
        ("instr", args!["hello", "l", 1, 2], "4"),
        ("instr", args!["hello", "l", -1, 1], "4"),
        ("instr", args!["hello", None::<&str>], "NULL"),
        ("instr", args!["hello", "", 3, 2], "1"),
        ("startswith", args!["hello", "he"], "TRUE"),
        ("endswith", args!["hello", "he"], "FALSE"),
        ("endswith", args![bytes("hello"), bytes("lo")], "TRUE"),
    ]);
}

#[test]
fn questions_about_characters_are_false_for_null_and_empty() {
    expect(vec![
        ("is_alpha", args!["abcä"], "TRUE"),
        ("is_alpha", args!["ab1"], "FALSE"),
        ("is_alpha", args![""], "FALSE"),
        ("is_alpha", args![None::<&str>], "FALSE"),
        ("is_digit", args!["123"], "TRUE"),
        ("is_digit", args!["1.5"], "FALSE"),
        ("is_digit", args!["٣"], "TRUE"),
        ("is_digit", args!["½"], "FALSE"),
        ("is_alpha", args!["Ⅷ"], "FALSE"),
        ("is_digit", args![5], "TRUE"),
        ("is_decimal", args!["1.5"], "TRUE"),
        ("is_decimal", args!["-1e3"], "TRUE"),
        ("is_decimal", args!["a"], "FALSE"),
    ]);
}

#[test]
fn encodings_and_digests_are_those_of_java() {
    expect(vec![
        ("to_base64", args!["hello world"], "aGVsbG8gd29ybGQ="),
        ("from_base64", args!["aGVsbG8gd29ybGQ="], "hello world"),
        ("from_base64", args!["?"], "NULL"),
        ("from_base64", args!["YR"], "a"),
        ("from_base64", args!["YQ="], "NULL"),
        ("hex", args![bytes("a")], "61"),
        ("unhex", args!["616"], "\u{6}\u{16}"),
        ("decode", args![bytes("añ"), "UTF-8"], "añ"),
        ("encode", args!["a", "UTF-8"], "a"),
        ("encode", args!["ñ", "US-ASCII"], "?"),
        ("encode", args!["", "UTF-16"], ""),
        ("encode", args!["a", "UTF-16LE"], "a\0"),
        ("decode", args![bytes("\0a"), "utf-16be"], "a"),
        ("md5", args!["abc"], "900150983cd24fb0d6963f7d28e17f72"),
        ("sha1", args!["abc"], "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("sha224", args!["abc"], "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        ("sha256", args!["abc"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("sha2", args!["abc", 256], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("md5", args![None::<&str>], "NULL"),
    ]);
    expect_refusal(vec![
        ("encode", args!["a", "EBCDIC"], "'EBCDIC' is not a supported character set"),
        ("sha2", args!["a", 100], "224, 256, 384 and 512"),
    ]);
    for (name, length) in [("sha384", 96), ("sha512", 128)] {
        assert_eq!(call(&named(name, &utc()), args!["abc"]).expect("a digest").text.len(), length, "{name}");
    }
}

#[test]
fn regular_expressions_are_those_of_java() {
    expect(vec![
        ("regexp", args!["foobar", "o+b"], "TRUE"),
        ("regexp", args!["foobar", ""], "FALSE"),
        ("regexp", args!["٣", r"\d"], "FALSE"),
        ("regexp", args!["a\rb", "a.b"], "FALSE"),
        ("regexp", args!["a\nb", "(?s)a.b"], "TRUE"),
        ("regexp", args!["a.b", r"\Qa.b\E"], "TRUE"),
        ("regexp", args!["a<b", r"a\<b"], "TRUE"),
        ("regexp", args!["x", r"\p{Lower}"], "TRUE"),
        ("regexp", args!["a-b", r"[\w&&[^a]]"], "TRUE"),
        ("regexp", args![None::<&str>, "a"], "NULL"),
        ("regexp_replace", args!["foobar", "oo|ar", ""], "fb"),
        ("regexp_replace", args!["abc", "b", "$0"], "a$0c"),
        ("regexp_replace", args!["abc", None::<&str>, "x"], "NULL"),
        ("regexp_extract", args!["foothebar", "foo(.*?)(bar)", 2], "bar"),
        ("regexp_extract", args!["foothebar", "foo(.*?)(bar)"], "foothebar"),
        ("regexp_extract", args!["foothebar", "x(.)", 1], "NULL"),
        ("regexp_extract", args!["abc", "(x)?abc", 1], "NULL"),
        ("regexp_count", args!["aXbXc", "X"], "2"),
        // There can be an empty match after another one.
        ("regexp_count", args!["aab", "a*"], "3"),
        ("regexp_replace", args!["aab", "a*", "-"], "--b-"),
        ("str_to_map", args!["ab", "", "="], "{a=NULL, b=NULL}"),
        ("str_to_map", args!["k1=v1,k2=v2"], "{k1=v1, k2=v2}"),
        ("str_to_map", args!["k1:v1;k2", ";", ":"], "{k1=v1, k2=NULL}"),
        ("str_to_map", args![""], "{}"),
    ]);
    expect_refusal(vec![
        ("regexp", args!["a", "(?=a)"], "uses look-ahead, which is not supported"),
        ("regexp", args!["a", "(?<!a)b"], "uses look-behind"),
        ("regexp_replace", args!["a", r"(a)\1", ""], "uses a backreference"),
        ("regexp_extract", args!["a", "a++", 0], "uses a possessive quantifier"),
        ("regexp", args!["a", "(a{1000}){1000}"], "uses too many repetitions"),
    ]);
    expect(vec![
        ("regexp_extract", args!["a", "(a)", 2], "NULL"),
        ("regexp_extract", args!["a", "(", 0], "NULL"),
        ("regexp_replace", args!["a", "(", ""], "NULL"),
        ("regexp_count", args!["a", "("], "NULL"),
        ("regexp", args!["a", "("], "FALSE"),
    ]);
}

#[test]
fn urls_are_cut_into_the_parts_of_java() {
    const URL: &str = "http://user:pw@facebook.com:80/path1/p.php?k1=v1&k2=v2#Ref1";
    expect(vec![
        ("parse_url", args![URL, "HOST"], "facebook.com"),
        ("parse_url", args![URL, "PATH"], "/path1/p.php"),
        ("parse_url", args![URL, "QUERY"], "k1=v1&k2=v2"),
        ("parse_url", args![URL, "REF"], "Ref1"),
        ("parse_url", args![URL, "PROTOCOL"], "http"),
        ("parse_url", args![URL, "FILE"], "/path1/p.php?k1=v1&k2=v2"),
        ("parse_url", args![URL, "AUTHORITY"], "user:pw@facebook.com:80"),
        ("parse_url", args![URL, "USERINFO"], "user:pw"),
        ("parse_url", args![URL, "QUERY", "k2"], "v2"),
        ("parse_url", args![URL, "QUERY", "k3"], "NULL"),
        ("parse_url", args![URL, "PATH", "k1"], "NULL"),
        ("parse_url", args!["no url", "HOST"], "NULL"),
        ("parse_url", args!["http://a.b", "QUERY"], "NULL"),
        ("parse_url", args!["http://h/a/../b/./c/..", "PATH"], "/b/"),
        ("parse_url", args!["http://h/../../a", "PATH"], "/../../a"),
        ("parse_url", args!["http://h:port/", "HOST"], "NULL"),
        ("parse_url", args!["http://[::1]:80/", "HOST"], "[::1]"),
        ("parse_url", args!["http://a@b@c/", "HOST"], ""),
        ("parse_url", args!["http://a@b@c/", "USERINFO"], "NULL"),
        ("url_encode", args!["a b&ñ"], "a+b%26%C3%B1"),
        ("url_decode", args!["a+b%26%C3%B1"], "a b&ñ"),
        ("url_decode", args!["%G"], "NULL"),
    ]);
}
