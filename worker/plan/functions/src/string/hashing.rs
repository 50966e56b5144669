//! Digests as lower-case hexadecimal: `MD5`, `SHA1`, `SHA224`, `SHA256`, `SHA384`, `SHA512`, `SHA2`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_expression::ScalarFunction;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::arithmetic::push_hex;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

type Hash = fn(&[u8], &mut String);

fn hash<D: Digest>(bytes: &[u8], out: &mut String) {
    push_hex(&D::digest(bytes), false, out);
}

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    let digests: [(&'static str, Hash); 6] = [
        ("md5", hash::<Md5>),
        ("sha1", hash::<Sha1>),
        ("sha224", hash::<Sha224>),
        ("sha256", hash::<Sha256>),
        ("sha384", hash::<Sha384>),
        ("sha512", hash::<Sha512>),
    ];
    let mut functions: Vec<_> = digests
        .into_iter()
        .map(|(name, hash)| {
            function(name, &[&[Parameter::TextOrBytes]], Returns::Type(DataType::Utf8), move |args| {
                if *args.data_type(0) == DataType::Binary {
                    let bytes = args.bytes(0)?;
                    return args.write_text(|row, out| Some(hash(bytes.get(row)?, out)));
                }
                let text = args.text(0)?;
                args.write_text(|row, out| Some(hash(text.get(row)?.as_bytes(), out)))
            })
            .build()
        })
        .collect();
    functions.push(
        function("sha2", &[&[Parameter::Text, Parameter::Int]], Returns::Type(DataType::Utf8), |args| {
            let (text, bits) = (args.text(0)?, args.int(1)?);
            args.try_write_text(|row, out| {
                let (Some(text), Some(bits)) = (text.get(row), bits.get(row)) else { return Ok(None) };
                let hash: Hash = match bits {
                    224 => hash::<Sha224>,
                    256 => hash::<Sha256>,
                    384 => hash::<Sha384>,
                    512 => hash::<Sha512>,
                    other => {
                        return eddyline_expression::value_err!(
                            "SHA2: {other} bits; 224, 256, 384 and 512 are supported"
                        );
                    }
                };
                Ok(Some(hash(text.as_bytes(), out)))
            })
        })
        .build(),
    );
    functions
}
