//! Vectors of RFC 8032, hostile ones, and envelopes through the plugin.

use dseq_sdk::testing::{Outcome, Tester};
use ed25519_compact::{KeyPair, Seed};

use super::*;
use crate::envelope::{Forged, verify};

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn verified(key: &str, message: &str, signature: &str) -> Result<(), Forged> {
    let (key, signature) = (bytes(key), bytes(signature));
    verify(key.first_chunk().unwrap(), signature.first_chunk().unwrap(), &[&bytes(message)])
}

/// Section 7.1: TEST 1, 2, 3 and SHA(abc); key, message, signature.
const RFC_8032: [[&str; 3]; 4] = [
    [
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
    [
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ],
];

#[test]
fn the_vectors_of_rfc_8032_hold_and_each_other_message_does_not() {
    for [key, message, signature] in RFC_8032 {
        assert_eq!(verified(key, message, signature), Ok(()));
        assert_eq!(verified(key, &format!("{message}00"), signature), Err(Forged::Mismatch));
    }
    let [[one, message, _], [_, _, other], ..] = RFC_8032;
    assert_eq!(verified(one, message, other), Err(Forged::Mismatch));
}

#[test]
fn a_message_is_its_parts_one_after_the_other() {
    let [key, message, signature] = RFC_8032[3].map(bytes);
    let (key, signature) = (key.first_chunk().unwrap(), signature.first_chunk().unwrap());
    for cut in 0..=message.len() {
        let (first, second) = message.split_at(cut);
        assert_eq!(verify(key, signature, &[first, b"", second]), Ok(()), "cut at {cut}");
    }
}

/// The group's order, 2^252 + 27742317777372353535851937790883648493, little-endian.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// S and S + L say the same to who does not look: the second is another signature that nobody has made.
#[test]
fn a_second_signature_cannot_be_made_from_the_first() {
    for [key, message, signature] in RFC_8032 {
        let mut signature = bytes(signature);
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(bytes(ORDER)) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
        assert_eq!(carry, 0, "S + L fits into 256 bits");
        let signature = signature.first_chunk().unwrap();
        let key = bytes(key);
        assert_eq!(verify(key.first_chunk().unwrap(), signature, &[&bytes(message)]), Err(Forged::Form));
    }
}

/// Where implementations disagree, from "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko): message, key,
/// signature, and what a strict verifier with the cofactor makes of it.
const DISPUTED: [(&str, &str, &str, Result<(), Forged>); 12] = [
    // Key and R of small order, S is 0.
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
        Err(Forged::Key),
    ),
    // A key of small order.
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        Err(Forged::Key),
    ),
    // R of small order.
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        Err(Forged::Form),
    ),
    // Key and R with a part of small order, which is the same on both sides.
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        Ok(()),
    ),
    // The same, but not the same on both sides: holds with the cofactor only.
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        Ok(()),
    ),
    // Holds with the cofactor, unless 8k is reduced before it is multiplied by the key.
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        Ok(()),
    ),
    // S above the order.
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        Err(Forged::Form),
    ),
    // S far above the order.
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        Err(Forged::Form),
    ),
    // R in an encoding that is not its canonical one.
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        Err(Forged::Form),
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        Err(Forged::Form),
    ),
    // The key in such an encoding.
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        Err(Forged::Key),
    ),
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        Err(Forged::Key),
    ),
];

/// What is accepted is part of what nodes agree on. A change here, by a new version of the crate below or otherwise,
/// forks the networks that run this plugin.
#[test]
fn disputed_signatures_are_judged_once_and_for_all() {
    for (number, (message, key, signature, verdict)) in DISPUTED.into_iter().enumerate() {
        assert_eq!(verified(key, message, signature), verdict, "number {number}");
    }
}

/// Every encoding of a point of small order, canonical or not, with both signs of x.
const WEAK: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn keys_for_which_anybody_can_sign_are_refused_in_the_params() {
    for key in WEAK {
        let mut negative = bytes(key);
        negative[31] |= 0x80;
        let negative = Key(*negative.first_chunk().unwrap()).to_string();
        for key in [key, &negative] {
            assert_eq!(verified(key, "", RFC_8032[0][2]), Err(Forged::Key), "{key}");
            assert_eq!(
                refusal("c", &[("eve", key)]),
                format!(
                    "producers[0].key: the key {key} is one of those for which anybody can make signatures; \
                     no producer has it"
                )
            );
        }
    }
}

fn params(context: &str, producers: &[(&str, &str)], more: &str) -> String {
    let producers = producers.iter().map(|(name, key)| format!(r#"{{"key":"{key}","name":"{name}"}}"#));
    let producers = producers.collect::<Vec<_>>().join(",");
    format!(r#"{{"context":"{context}"{more},"producers":[{producers}]}}"#)
}

fn refusal(context: &str, producers: &[(&str, &str)]) -> String {
    let refusal =
        Tester::<Signed>::new(&params(context, producers, "")).err().expect("no params for a plugin");
    refusal.message().to_owned()
}

#[test]
fn params_that_make_no_sense_are_refused() {
    let [[one, ..], [two, ..], ..] = RFC_8032;
    assert_eq!(
        refusal("c", &[]),
        "producers is empty, so every transaction would be rejected; give at least one"
    );
    assert_eq!(
        refusal("c", &[("a", one), ("b", two), ("c", one)]),
        format!("the producers \"a\" and \"c\" have the same key, {one}; give each its own")
    );
    let expected = "producers[0].key: expected a public key as 64 lower-case hexadecimal digits, found ";
    for wrong in ["", "ab", &one[1..], &format!("{one}00"), &one.to_uppercase(), &one.replace('d', "g")] {
        let refusal = refusal("c", &[("a", wrong)]);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
    let long = "x".repeat(65);
    for wrong in ["", "two\\nlines", "h\u{f6}hle", &long] {
        let refusal = refusal(wrong, &[("a", one)]);
        assert!(
            refusal.starts_with("context is \"")
                && refusal.ends_with("it must be 1 to 64 printable ASCII characters"),
            "{refusal}"
        );
    }
    let longest = "~".repeat(64);
    assert!(Tester::<Signed>::new(&params(&longest, &[("a", one)], "")).is_ok());
}

fn alice() -> KeyPair {
    KeyPair::from_seed(Seed::new([7; 32]))
}

/// An envelope as a producer makes it, from the words of the crate's documentation.
fn sealed(keys: &KeyPair, context: &str, payload: &str) -> Vec<u8> {
    let signature = keys.sk.sign(format!("dseq/signed/v1\n{context}\n{payload}"), None);
    [&keys.pk[..], &signature[..], payload.as_bytes()].concat()
}

fn plugin(more: &str) -> Tester<Signed> {
    let alice = Key(*alice().pk).to_string();
    Tester::new(&params("net", &[("bob", RFC_8032[0][0]), ("alice", &alice)], more)).unwrap()
}

#[test]
fn the_payload_of_a_known_producer_is_the_record() {
    let tx = sealed(&alice(), "net", "hello");
    assert_eq!(plugin("").apply(&tx), Outcome::replaced("hello"));
    assert_eq!(plugin(r#","keep_envelope":true"#).apply(&tx), Outcome::Unchanged);
}

#[test]
fn an_envelope_of_another_network_is_none() {
    let words =
        |context| format!("the signature is not \"alice\"'s for this payload in the context {context:?}");
    for context in ["nett", "ne", "", "net\nhello"] {
        let tx = sealed(&alice(), context, "hello");
        assert_eq!(plugin("").apply(&tx), Outcome::rejected(4, words("net")), "{context}");
    }
    // A signature over the payload alone, as other programs make.
    let mut tx = sealed(&alice(), "net", "hello");
    tx[32..96].copy_from_slice(&alice().sk.sign("hello", None)[..]);
    assert_eq!(plugin("").apply(&tx), Outcome::rejected(4, words("net")));
}

#[test]
fn a_strangers_envelope_is_rejected_by_its_key() {
    let mallory = KeyPair::from_seed(Seed::new([8; 32]));
    let words = format!("the key {} is none of the producers'", Key(*mallory.pk));
    assert_eq!(plugin("").apply(sealed(&mallory, "net", "hello")), Outcome::rejected(2, words));
    // A signature of a stranger under a producer's key.
    let mut tx = sealed(&mallory, "net", "hello");
    tx[..32].copy_from_slice(&alice().pk[..]);
    assert!(matches!(plugin("").apply(tx), Outcome::Rejected { code: 4, .. }));
}

#[test]
fn an_envelope_cut_short_is_none() {
    let tx = sealed(&alice(), "net", "h");
    for len in 1..tx.len() {
        let words = format!(
            "{len} bytes are too short for an envelope: 96 bytes of key and signature, and at least 1 of payload"
        );
        assert_eq!(plugin("").apply(&tx[..len]), Outcome::rejected(1, words));
    }
    assert_eq!(plugin("").apply(&tx), Outcome::replaced("h"));
}

#[test]
fn no_bit_can_be_changed() {
    let tx = sealed(&alice(), "net", "hello");
    for bit in 0..8 * tx.len() {
        let mut tx = tx.clone();
        tx[bit / 8] ^= 1 << (bit % 8);
        let expected: &[u16] = if bit < 256 { &[2] } else { &[3, 4] };
        match plugin("").apply(tx) {
            Outcome::Rejected { code, .. } if expected.contains(&code) => {}
            other => panic!("bit {bit}: {other:?}"),
        }
    }
}

/// Half of all texts of 32 bytes are no points. Init does not look (see [`Key`]); a transaction finds out.
#[test]
fn a_key_that_is_none_lets_nobody_in() {
    let key = format!("02{}", "00".repeat(31));
    let plugin = Tester::<Signed>::new(&params("net", &[("ghost", &key)], "")).unwrap();
    let mut tx = sealed(&alice(), "net", "hello");
    tx[..32].copy_from_slice(&bytes(&key));
    let words = "the key of \"ghost\" in the params is no point of the curve; nobody can sign with it";
    assert_eq!(plugin.apply(tx), Outcome::rejected(5, words));
}
