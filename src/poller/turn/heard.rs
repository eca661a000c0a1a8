//! What an answer says of its own failure.

use super::Turn;
use crate::core::fault::Fault;
use crate::core::format;
use crate::core::http::Response;
use crate::core::outcome::Answer;
use crate::core::refusal;

impl Turn<'_> {
    /// The same answer, with what its body says of its failure. `refused` is it once more if its status is bad.
    pub(super) fn heard(&self, answer: Answer, refused: Option<&Response>) -> Answer {
        let (method, fail_when) = (&self.source.method, self.source.fail_when.as_ref());
        let explained = |fault| match refused {
            Some(response) => self.masked(refusal::explained(fault, method, fail_when, response)),
            None => fault,
        };
        match answer {
            Answer::Body(response) => {
                let declared = fail_when.and_then(|fail_when| {
                    let document = format::document(&response, self.source.format.as_ref());
                    let read = document.as_ref().map_or(&response, |read| &read.response);
                    refusal::declared(fail_when, read)
                });
                match declared {
                    Some(fault) => Answer::Failed(self.masked(fault)),
                    None => Answer::Body(response),
                }
            }
            Answer::Failed(fault) => Answer::Failed(explained(fault)),
            Answer::Throttled { wait, fault } => {
                Answer::Throttled { wait, fault: explained(fault) }
            }
            Answer::NotModified(response) => Answer::NotModified(response),
        }
    }

    /// A fault that repeats an API's words, without secrets.
    pub(super) fn masked(&self, fault: Fault) -> Fault {
        Fault { sentence: self.ports.redactor.clean(&fault.sentence), ..fault }
    }
}
