//! Bodies that are compressed, too large, too slow, or bombs.

use std::io::Write as _;
use std::time::Duration;

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::server::{Script, Then};
use super::{WHOLE, ask, within, words};
use crate::core::http::{BodyLimit, TransportFault};

const MIB: usize = 1024 * 1024;

fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_bodies_are_read_or_are_faults() {
    let whole = gzip(b"hello");
    let flipped = {
        let mut bytes = gzip(&vec![7; 9000]);
        let last = bytes.len() - 6;
        bytes[last] ^= 0xff;
        bytes
    };
    for (encoding, body, expected) in [
        ("gzip", whole.clone(), "200 \"hello\""),
        ("GZIP", whole.clone(), "200 \"hello\""),
        ("x-gzip", whole.clone(), "200 \"hello\""),
        ("identity", b"hello".to_vec(), "200 \"hello\""),
        // Several members are one body; reading only the first would lose half a listing.
        ("gzip", [&whole[..], &gzip(b" again")].concat(), "200 \"hello again\""),
        (
            "zstd",
            [ZSTD, ZSTD].concat(),
            "200 \"hello, hello, hello, doorbellhello, hello, hello, doorbell\"",
        ),
        ("br", BROTLI.to_vec(), "200 \"hello, hello, hello, doorbell\""),
        ("br", [BROTLI, b"more"].concat(), "decode: "),
        ("zstd", [ZSTD, b"more"].concat(), "decode: "),
        ("gzip", Vec::new(), "200 \"\""),
        ("gzip", whole[..whole.len() - 9].to_vec(), "decode: "),
        ("gzip", whole[..12].to_vec(), "decode: "),
        ("gzip", flipped, "decode: "),
        ("gzip", b"{\"not\": \"compressed\"}".to_vec(), "decode: "),
        ("gzip", [&whole[..], b"more"].concat(), "decode: "),
        ("br", b"\xff\xff not brotli".to_vec(), "decode: "),
        ("zstd", whole.clone(), "decode: "),
        ("deflate", whole.clone(), "decode: "),
        ("gzip, gzip", gzip(&whole), "decode: "),
    ] {
        let outcome = ask(Script::new(encoded(encoding, &body), Then::Keep), WHOLE).await;
        let outcome = words(&outcome);
        assert!(outcome.starts_with(expected), "{encoding} {body:?} gave {outcome}");
    }
}

#[tokio::test]
async fn a_body_that_begins_like_gzip_is_gzip() {
    let plain = |body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let whole = gzip(b"hello");
    for (body, expected) in [
        (whole.clone(), "200 \"hello\""),
        ([&whole[..], &gzip(b" again")].concat(), "200 \"hello again\""),
        (whole[..whole.len() - 9].to_vec(), "decode: "),
        (whole[..4].to_vec(), "decode: "),
        ([&whole[..], b"more"].concat(), "decode: "),
        (b"\x1f\x8b".to_vec(), "200 \"\\u{1f}"),
        (b"\x1f\x8b\x07".to_vec(), "200 \"\\u{1f}"),
        (b"h".to_vec(), "200 \"h\""),
        (b"hello".to_vec(), "200 \"hello\""),
    ] {
        let outcome = words(&ask(Script::new(plain(&body), Then::Keep), WHOLE).await);
        assert!(outcome.starts_with(expected), "{body:?} gave {outcome}");
    }
    // The limit counts what comes out, not what came.
    let bomb = plain(&gzip(&vec![b' '; 4 * MIB]));
    let limit = BodyLimit::Whole { bytes_max: MIB };
    let outcome = ask(Script::new(bomb, Then::Keep), limit).await;
    assert_eq!(outcome.map(|_| ()), Err(TransportFault::TooLarge { bytes_max: MIB }));
    // A cut connection stays one.
    let answer = plain(&gzip(&(0..9000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()));
    let cut = words(&ask(Script::new(&answer[..answer.len() / 2], Then::Close), WHOLE).await);
    assert!(cut.starts_with("cut: "), "{cut}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_never_whole() {
    let gzip = gzip(b"hello, hello, hello, doorbell");
    for (encoding, body) in [("gzip", &gzip[..]), ("br", BROTLI), ("zstd", ZSTD)] {
        for length in 1..body.len() {
            let outcome =
                ask(Script::new(encoded(encoding, &body[..length]), Then::Keep), WHOLE).await;
            let outcome = words(&outcome);
            assert!(outcome.starts_with("decode: "), "{encoding} to byte {length} gave {outcome}");
        }
    }
}

/// `hello, hello, hello, doorbell`, compressed.
const BROTLI: &[u8] = &[
    0x1b, 0x1c, 0x00, 0xf8, 0x1d, 0xa9, 0x53, 0x9f, 0xbb, 0x51, 0x09, 0x42, 0x86, 0xd6, 0x2c, 0x6c,
    0x6f, 0x72, 0xaa, 0xec, 0xad, 0x44, 0x91, 0xa7, 0x12, 0x08, 0x66, 0xa6, 0x81, 0xf6, 0x01,
];
/// The same.
const ZSTD: &[u8] = &[
    0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0xad, 0x00, 0x00, 0x78, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x2c,
    0x20, 0x64, 0x6f, 0x6f, 0x72, 0x62, 0x65, 0x6c, 0x6c, 0x01, 0x00, 0x92, 0x8b, 0x11, 0x33, 0x17,
    0xdf, 0xea,
];

#[tokio::test]
async fn a_cut_connection_is_cut_under_compression_too() {
    let body = gzip(&(0..9000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let answer = encoded("gzip", &body);
    let half = &answer[..answer.len() / 2];
    for then in [Then::Close, Then::Reset] {
        let outcome = words(&ask(Script::new(half, then), WHOLE).await);
        assert!(outcome.starts_with("cut: "), "{outcome}");
    }
}

#[tokio::test]
async fn the_limit_counts_to_the_byte() {
    let body = vec![b'x'; 3000];
    let declared = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let plain = [declared.as_bytes(), &body].concat();
    let open = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &body].concat();
    for answer in [plain, open, encoded("gzip", &gzip(&body))] {
        for (bytes_max, fits) in [(3000, true), (2999, false), (0, false), (usize::MAX, true)] {
            let limit = BodyLimit::Whole { bytes_max };
            let outcome = ask(Script::new(&answer, Then::Close), limit).await;
            let expected =
                if fits { Ok(3000) } else { Err(TransportFault::TooLarge { bytes_max }) };
            assert_eq!(outcome.map(|answer| answer.body.len()), expected, "{bytes_max}");
        }
    }
}

#[tokio::test]
async fn an_endless_body_and_an_endless_promise_end_at_the_limit() {
    let endless = Then::Repeat(vec![b'x'; 65_536], Duration::ZERO);
    for (head, then) in [
        ("HTTP/1.1 200 OK\r\n\r\n", endless),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\n", Then::Hold),
    ] {
        let outcome = within(Duration::from_secs(5), ask(Script::new(head, then), WHOLE)).await;
        assert_eq!(outcome.map(drop), Err(TransportFault::TooLarge { bytes_max: 1_000_000 }));
    }
}

#[tokio::test]
async fn a_drip_is_a_fault_and_a_slow_body_is_not() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n";
    let slowly =
        |pause| Script::new(head, Then::Repeat(b"xxxx".to_vec(), Duration::from_millis(pause)));
    let outcome = within(Duration::from_secs(3), ask(slowly(200), WHOLE)).await;
    assert!(matches!(outcome, Err(TransportFault::Drip { bytes: 1..10, .. })), "{outcome:?}");
    let outcome = within(Duration::from_secs(3), ask(slowly(60), WHOLE)).await;
    assert_eq!(outcome.map(|answer| answer.body.len()), Ok(40));
    let silent = within(Duration::from_secs(3), ask(Script::new(head, Then::Hold), WHOLE)).await;
    assert!(matches!(silent, Err(TransportFault::Drip { bytes: 0, .. })), "{silent:?}");
}

#[tokio::test]
async fn bombs_go_off_at_the_limit_and_in_little_memory() {
    let limit = BodyLimit::Whole { bytes_max: 8 * MIB };
    for (encoding, bomb) in [("gzip", gzip_bomb()), ("zstd", zstd_bomb())] {
        let asked = ask(Script::new(encoded(encoding, &bomb), Then::Keep), limit);
        let outcome = within(Duration::from_secs(10), asked).await;
        assert_eq!(outcome.map(drop), Err(TransportFault::TooLarge { bytes_max: 8 * MIB }));
    }
    let peak = peak_memory();
    assert!(peak < 1024 * MIB, "{} MiB of memory were used", peak / MIB);
}

/// 2 MB that become 2 GB: one deflated mebibyte of zeros, flushed so that it can stand again and again.
fn gzip_bomb() -> Vec<u8> {
    let zeros = vec![0; MIB];
    let mut block = Vec::with_capacity(64 * 1024);
    let mut deflate = Compress::new(Compression::best(), false);
    let status = deflate.compress_vec(&zeros, &mut block, FlushCompress::Full).unwrap();
    assert_eq!((status, deflate.total_in()), (Status::Ok, MIB as u64));
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let bomb = [&head[..], &block.repeat(2048)].concat();
    assert!(bomb.len() < 5 * MIB, "{}", bomb.len());
    bomb
}

/// 16 KB that become 512 MB: a frame of run-length blocks (RFC 8878 §3.1.1), 128 KiB each.
fn zstd_bomb() -> Vec<u8> {
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let [low, middle, high, _] = ((128 * 1024_u32) << 3 | 1 << 1).to_le_bytes();
    [&head[..], &[low, middle, high, 0].repeat(4096)].concat()
}

/// The most memory this process has had, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}
