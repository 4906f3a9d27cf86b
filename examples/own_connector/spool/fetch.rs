//! Takes messages from the folder: [`fetch`], and [`Undelivered`] messages, which give themselves back.

use std::{
    collections::VecDeque,
    fs, io,
    sync::{Arc, Weak},
};

use broadway::source::Delivery;

use super::{
    ack::{AckAction, Token},
    file,
    folders::in_ms,
    leases::Leases,
    record::SpoolRecord,
};

/// Messages that were taken and not delivered. Drop gives them back, wherever it happens: in a producer that stops or fails, or in a
/// task whose result is no longer awaited.
pub(super) struct Undelivered {
    leases: Weak<Leases>,
    messages: VecDeque<Delivery<SpoolRecord, Token>>,
}

impl Undelivered {
    pub(super) fn none(leases: &Arc<Leases>) -> Self {
        Self {
            leases: Arc::downgrade(leases),
            messages: VecDeque::new(),
        }
    }

    /// Delivers at most `n` messages. Returns how many.
    pub(super) fn deliver(
        &mut self,
        n: usize,
        out: &mut Vec<Delivery<SpoolRecord, Token>>,
    ) -> usize {
        let n = n.min(self.messages.len());
        out.extend(self.messages.drain(..n));
        n
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        let Some(leases) = self.leases.upgrade() else {
            return;
        };
        let back = self.messages.drain(..);
        let back: Vec<_> = back
            .map(|message| (message.token, AckAction::GiveBack))
            .collect();
        if let Err(error) = leases.acknowledge(&back) {
            leases.report(&error.to_string());
        }
    }
}

/// Takes up to `demand` of the messages in `names`. Lists the folder only when `names` is empty: a folder of a million files is not
/// listed once for each hundred of them.
///
/// # Errors
///
/// Fails if the folders cannot be read or written. Messages that were taken before the error are delivered first; the next call then
/// fails.
pub(super) fn fetch(
    leases: &Arc<Leases>,
    names: &mut VecDeque<String>,
    demand: usize,
) -> io::Result<Undelivered> {
    let mut fetched = Undelivered::none(leases);
    if names.is_empty() {
        *names = list(leases)?;
    }
    while fetched.messages.len() < demand {
        let Some(name) = names.pop_front() else {
            break;
        };
        match take(leases, &name) {
            Ok(Some(message)) => fetched.messages.push_back(message),
            Ok(None) => {}
            Err(error) if fetched.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(fetched)
}

fn list(leases: &Leases) -> io::Result<VecDeque<String>> {
    let folders = leases.folders();
    folders.give_back_expired(in_ms(std::time::Duration::ZERO))?;
    let (taken, waiting) = (folders.taken()?, folders.waiting()?);
    leases.report_lag(taken.len() + waiting.len());
    Ok(waiting.into())
}

/// `None` if another consumer took it first, or if the file is not a message: such a file is put aside, as it would be delivered
/// forever.
fn take(leases: &Leases, name: &str) -> io::Result<Option<Delivery<SpoolRecord, Token>>> {
    let Some((token, lease)) = leases.take(name)? else {
        return Ok(None);
    };
    let path = leases.folders().held(&lease);
    let read = fs::metadata(&path).and_then(|meta| Ok((meta.modified().ok(), fs::read(&path)?)));
    let problem = match read {
        Ok((time, bytes)) => match file::decode(&bytes) {
            Ok(message) => {
                let record = SpoolRecord::new(name, time, message);
                return Ok(Some(Delivery::new(record, token)));
            }
            Err(problem) => problem,
        },
        Err(error) => error.to_string(),
    };
    leases.report(&format!(
        "{name} is not a message and was moved to failed/: {problem}"
    ));
    leases
        .acknowledge(&[(token, AckAction::PutAside)])
        .map_err(io::Error::other)?;
    Ok(None)
}
