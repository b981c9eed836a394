//! Small changes to good input: what finds the places where bad input is nearly good.

use super::noise::Noise;

/// Numbers that tempt whoever adds, shifts or allocates by them.
const TEMPTING: &[&[u8]] = &[
    &[0],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0x80, 0x80, 0x80, 0x80, 0x00],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x80, 0x80, 0x04],
];

/// Changes bytes in a few places.
pub(crate) fn mutate(noise: &mut Noise, input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=noise.below(3) {
        let at = noise.below(bytes.len() + 1);
        let rest = bytes.len() - at;
        match noise.below(7) {
            0 if rest > 0 => bytes[at] ^= 1 << noise.below(8),
            1 if rest > 0 => bytes[at] = byte(noise),
            2 => drop(bytes.splice(at..at, [byte(noise)])),
            3 => drop(bytes.drain(at..at + noise.below(rest.min(8) + 1))),
            4 => {
                let tempting = TEMPTING[noise.below(TEMPTING.len())];
                bytes.splice(at..at + rest.min(noise.below(3)), tempting.iter().copied());
            }
            5 => {
                let from = noise.below(bytes.len() + 1);
                let piece = bytes[from..(from + noise.below(40)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.truncate(at.max(bytes.len() / 2)),
        }
    }
    bytes
}

/// Changes bytes in a few places, and no length.
pub(crate) fn flip(noise: &mut Noise, input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=noise.below(2) {
        let at = noise.below(bytes.len());
        bytes[at] = if noise.below(2) == 0 { bytes[at] ^ 1 << noise.below(8) } else { byte(noise) };
    }
    bytes
}

fn byte(noise: &mut Noise) -> u8 {
    noise.next().to_le_bytes()[0]
}
