//! Raw records.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::{Config, Decoder, Encoder, Endianness};
use crate::decode::RecordDecoder;
use crate::encode::{EncodedRecords, RecordEncoder};

fn schema(data_type: DataType, nullable: bool) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("c", data_type, nullable)]))
}

#[test]
fn a_record_is_the_value_and_back() {
    let cases: Vec<(DataType, &[u8])> = vec![
        (DataType::Utf8, "tëxt".as_bytes()),
        (DataType::Utf8, b""),
        (DataType::Binary, b"\xff\x00"),
        (DataType::Boolean, b"\x01"),
        (DataType::Int8, b"\xfe"),
        (DataType::Int16, b"\x01\x02"),
        (DataType::Int32, b"\x01\x02\x03\x04"),
        (DataType::Int64, b"\x01\x02\x03\x04\x05\x06\x07\x08"),
        (DataType::Float32, b"\x3f\x80\x00\x00"),
        (DataType::Float64, b"\x3f\xf0\x00\x00\x00\x00\x00\x00"),
    ];
    for endianness in [Endianness::Big, Endianness::Little] {
        let config = Config { endianness };
        for (data_type, record) in &cases {
            let schema = schema(data_type.clone(), true);
            let mut decoder = Decoder::new(&config, &schema, &[0], 4).expect("a decoder");
            assert_eq!(decoder.decode(record), Ok(1));
            assert_eq!(decoder.decode_null(), Ok(1));
            let batch = decoder.flush().expect("two rows");
            let mut out = EncodedRecords::records();
            let mut encoder = Encoder::new(&config, &schema).expect("an encoder");
            encoder.encode(&batch, &mut out).expect("encoded");
            assert_eq!(out.iter().collect::<Vec<_>>(), [Some(*record), None], "{data_type}");
        }
    }
}

#[test]
fn the_first_byte_is_the_most_significant_unless_told_otherwise() {
    for (endianness, expected) in [(Endianness::Big, 1), (Endianness::Little, 1 << 56)] {
        let schema = schema(DataType::Int64, true);
        let mut decoder = Decoder::new(&Config { endianness }, &schema, &[0], 4).expect("a decoder");
        decoder.decode(&[0, 0, 0, 0, 0, 0, 0, 1]).expect("a row");
        let batch = decoder.flush().expect("a batch");
        assert_eq!(batch.rows().column(0).as_primitive::<Int64Type>().value(0), expected);
    }
}

#[test]
fn records_of_the_wrong_size_or_encoding_are_bad() {
    for (data_type, record, reason) in [
        (DataType::Int32, &b"123"[..], "3 bytes instead of the 4 of INT"),
        (DataType::Boolean, b"", "0 bytes instead of the 1 of BOOLEAN"),
        (DataType::Utf8, b"a\xff", "not UTF-8 from byte 1 on"),
    ] {
        let mut decoder = Decoder::new(&Config::default(), &schema(data_type, false), &[0], 4).expect("a decoder");
        assert_eq!(decoder.decode(record).expect_err("bad").reason, reason);
        assert!(decoder.decode_null().is_err());
        assert!(decoder.flush().expect("no rows").rows().column(0).is_empty());
    }
}
