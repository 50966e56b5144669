//! Uploads a run file while it is encoded, and copies it to a local disk meanwhile.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::local_copy::{Copying, LocalCopies};
use crate::manifest::FileProto;
use crate::run_file::writer::Finished;
use crate::storage::{Abandoned, Part, Storage};

/// Parts of an upload that wait for the store.
const PARTS_WAITING: usize = 2;
/// Why encoding stops when the store has failed.
const STOPPED: &str = "the upload has stopped";

/// Takes the parts of a run file, all of which have [`PART_BYTES`](crate::storage::PART_BYTES).
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Vec<u8>) -> std::result::Result<(), String>;

/// Encodes a run file on a blocking thread and uploads what is ready meanwhile, with a copy if there is a place for it. A file
/// below `inline_bytes` is given back instead, as part of the manifest.
pub(crate) async fn upload<T: Send + 'static>(
    storage: &Storage,
    name: &str,
    inline_bytes: u64,
    copies: Option<&LocalCopies>,
    encode: impl FnOnce(Emit<'_>) -> Result<(T, Option<Finished>)> + Send + 'static,
) -> Result<(T, Option<FileProto>)> {
    let (sender, mut parts) = mpsc::channel::<Part>(PARTS_WAITING);
    let encoding = tokio::task::spawn_blocking(move || {
        let mut emit = |part: Vec<u8>| sender.blocking_send(Ok(part.into())).map_err(|_| STOPPED.to_owned());
        let encoded = encode(&mut emit);
        match &encoded {
            // The end of a file that is uploaded in parts already.
            Ok((_, Some(file))) if file.bytes > file.rest.len() as u64 => {
                let _upload_has_stopped = sender.blocking_send(Ok(Bytes::copy_from_slice(&file.rest)));
            }
            Ok(_) => {}
            Err(_) => {
                let _upload_has_stopped = sender.blocking_send(Err(Abandoned));
            }
        }
        encoded
    });
    let first = parts.recv().await;
    if let Some(first) = first {
        let mut copy = copies.map(LocalCopies::begin);
        let (sender, uploaded) = mpsc::channel::<Part>(1);
        let forward = async {
            let mut next = Some(first);
            while let Some(part) = next {
                let copied = part.as_ref().ok().cloned();
                if sender.send(part).await.is_err() {
                    break;
                }
                if let (Some(copy), Some(part)) = (&mut copy, copied) {
                    copy.part(part).await;
                }
                next = parts.recv().await;
            }
            parts.close();
            drop(sender);
        };
        let (uploaded, ()) = futures::future::join(storage.upload(name, uploaded), forward).await;
        let encoded = encoding.await?;
        match (&encoded, uploaded) {
            (Err(Error::InvalidSnapshot { reason, .. }), Err(error)) if reason == STOPPED => Err(error)?,
            (Ok(_), Err(error)) => Err(error)?,
            // Encoding has failed, which is why the upload did if it did.
            _ => {}
        }
        let (encoded, file) = encoded?;
        let proto = file.map(|file| file_proto(name, &file));
        finish(copy, proto.as_ref()).await;
        return Ok((encoded, proto));
    }
    let (encoded, file) = encoding.await??;
    let Some(file) = file else { return Ok((encoded, None)) };
    if file.bytes < inline_bytes {
        let proto = FileProto { name: String::new(), inline: file.rest.clone().into(), ..file_proto("", &file) };
        return Ok((encoded, Some(proto)));
    }
    let proto = file_proto(name, &file);
    let content = Bytes::from(file.rest);
    storage.put_once(name, content.clone()).await?;
    let mut copy = copies.map(LocalCopies::begin);
    if let Some(copy) = &mut copy {
        copy.part(content).await;
    }
    finish(copy, Some(&proto)).await;
    Ok((encoded, Some(proto)))
}

async fn finish(copy: Option<Copying>, file: Option<&FileProto>) {
    if let (Some(copy), Some(file)) = (copy, file) {
        copy.finish(file).await;
    }
}

fn file_proto(name: &str, file: &Finished) -> FileProto {
    FileProto { name: name.to_owned(), bytes: file.bytes, footer_crc32c: file.footer_crc, inline: Bytes::new() }
}
