//! How a call can end without a verdict: the plugin's fault, or a host that cannot be trusted to go on.

use wasmtime::Trap;

use crate::printable;
use crate::rules::PluginName;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A plugin broke its contract. The transaction is rejected with the fault's code, on every node alike.
        ///
        /// A faulted call is charged the whole `fuel_max`, wherever it stopped: what a compiler had counted
        /// by then never enters consensus.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
        pub enum Fault {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl Fault {
            /// Every fault, in the order of the codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The result code of a transaction that met this fault. It enters consensus.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

faults! {
    /// `unreachable` was executed.
    Unreachable = 1000, "the plugin panicked or executed unreachable code";
    /// More work than `fuel_max`.
    OutOfFuel = 1001, "the plugin ran out of fuel";
    /// A load, store or bulk operation outside of the memory.
    MemoryOutOfBounds = 1002, "the plugin accessed memory out of bounds";
    /// An integer division or remainder by zero.
    DivisionByZero = 1003, "the plugin divided by zero";
    /// The one integer division whose result does not fit.
    IntegerOverflow = 1004, "an integer operation of the plugin overflowed";
    /// A float without an integer value was converted to one.
    BadConversion = 1005, "the plugin converted a float that does not fit the integer type";
    /// A call through an empty table slot.
    NullCall = 1006, "the plugin called through an empty table slot";
    /// A call through a table to a function of another type.
    BadSignature = 1007, "the plugin called a function with the wrong type";
    /// A table access beyond its end.
    TableOutOfBounds = 1008, "the plugin accessed a table out of bounds";
    /// Calls nested too deeply.
    StackOverflow = 1009, "the plugin's calls nested too deeply";
    /// `dseq_buffer` answered with a place that does not hold the input.
    BadBuffer = 1010, "the plugin's buffer does not lie inside of its memory";
    /// `dseq_output` answered with a place that does not hold the output.
    BadOutput = 1011, "the plugin's output does not lie inside of its memory";
    /// A record of no bytes.
    OutputEmpty = 1012, "the plugin returned an empty record";
    /// A record longer than `record_bytes_max`.
    OutputTooLarge = 1013, "the plugin returned a record longer than record_bytes_max";
    /// An answer that is not in the table of the ABI.
    BadVerdict = 1014, "the plugin's answer is not defined by the ABI";
    /// A rejection code that is not the plugin's to use.
    BadRejectCode = 1015, "the plugin's rejection code is not from 1 to 999";
}

impl Fault {
    /// The fault, followed by the plugin's panic message if there is one, escaped for printing.
    #[must_use]
    pub fn with(self, message: &str) -> String {
        if message.is_empty() { self.to_string() } else { format!("{self}: {}", printable::line(message)) }
    }

    /// The fault behind a trap; `None` for traps that no admitted module can cause. The engine's own stack overflow is
    /// one of those: what is counted in the bytecode ends a recursion first.
    pub(super) fn from_trap(trap: Trap) -> Option<Self> {
        Some(match trap {
            Trap::UnreachableCodeReached => Self::Unreachable,
            Trap::OutOfFuel => Self::OutOfFuel,
            Trap::MemoryOutOfBounds => Self::MemoryOutOfBounds,
            Trap::IntegerDivisionByZero => Self::DivisionByZero,
            Trap::IntegerOverflow => Self::IntegerOverflow,
            Trap::BadConversionToInteger => Self::BadConversion,
            Trap::IndirectCallToNull => Self::NullCall,
            Trap::BadSignature => Self::BadSignature,
            Trap::TableOutOfBounds => Self::TableOutOfBounds,
            _ => return None,
        })
    }
}

/// This host failed in a way that no other node need share. There is no right answer to give: the node
/// must stop.
///
/// Fix what the reason names, usually lack of memory or threads; if it comes back, report it, with the node's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{step} failed on this host: {reason}", of(.plugin.as_ref()))]
pub struct Fatal {
    /// The plugin being run, if it was one.
    pub plugin: Option<PluginName>,
    /// What the host was doing.
    pub step: &'static str,
    /// What came back.
    pub reason: String,
}

fn of(plugin: Option<&PluginName>) -> String {
    plugin.map(|plugin| format!("plugin {plugin}: ")).unwrap_or_default()
}

/// Why a call stopped before it had an answer.
#[derive(Debug)]
pub(super) enum Stop {
    /// The plugin's doing. The message is the plugin's own, about its panic; the detail may differ between hosts and is
    /// for local logs only.
    Fault { fault: Fault, message: String, detail: String },
    /// The host's.
    Fatal { step: &'static str, reason: String },
}

impl Stop {
    /// Sorts an error of the engine: known traps are faults, everything else is fatal.
    pub(super) fn from_engine(step: &'static str, error: &wasmtime::Error) -> Self {
        match error.downcast_ref::<Trap>().and_then(|trap| Fault::from_trap(*trap)) {
            Some(fault) => {
                Self::Fault { fault, message: String::new(), detail: format!("{step}: {error:#}") }
            }
            None => Self::Fatal { step, reason: format!("{error:#}") },
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault { fault, message: String::new(), detail: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Result codes enter the app's results hash: a change here forks running networks. A new fault gets a
    /// new code, and its line under "Consensus-breaking" in the CHANGELOG.
    #[test]
    fn the_table_of_fault_codes_is_fixed() {
        let table: Vec<String> =
            Fault::ALL.iter().map(|fault| format!("{} {fault:?}", fault.code())).collect();
        assert_eq!(
            table.join("\n"),
            "1000 Unreachable\n\
             1001 OutOfFuel\n\
             1002 MemoryOutOfBounds\n\
             1003 DivisionByZero\n\
             1004 IntegerOverflow\n\
             1005 BadConversion\n\
             1006 NullCall\n\
             1007 BadSignature\n\
             1008 TableOutOfBounds\n\
             1009 StackOverflow\n\
             1010 BadBuffer\n\
             1011 BadOutput\n\
             1012 OutputEmpty\n\
             1013 OutputTooLarge\n\
             1014 BadVerdict\n\
             1015 BadRejectCode"
        );
    }

    #[test]
    fn a_trap_no_admitted_module_can_cause_is_fatal() {
        let stop = Stop::from_engine("dseq_apply", &wasmtime::Error::from(Trap::Interrupt));
        assert!(matches!(stop, Stop::Fatal { step: "dseq_apply", .. }), "{stop:?}");
        let stop = Stop::from_engine("dseq_apply", &wasmtime::Error::from(Trap::StackOverflow));
        assert!(matches!(stop, Stop::Fatal { .. }), "{stop:?}");
        let stop = Stop::from_engine("dseq_apply", &wasmtime::Error::msg("out of luck"));
        assert!(matches!(stop, Stop::Fatal { .. }), "{stop:?}");
    }
}
