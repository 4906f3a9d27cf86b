//! One look at the folder: what is taken, and what becomes of it if nobody wants it any more.

use std::{
    collections::VecDeque,
    fs, io,
    sync::{Arc, Weak},
};

use broadway::Delivery;

use super::{
    ack::{Ending, Token},
    file,
    folders::in_ms,
    leases::Leases,
    record::SpoolRecord,
};

/// Messages that were taken and not delivered. Dropped, it gives them back, wherever that happens: in a producer that
/// stops or fails, or in a task whose result nobody waits for any more.
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

    /// Hands over at most `n` of them; says how many.
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
            .map(|message| (message.token, Ending::GiveBack))
            .collect();
        if let Err(error) = leases.end(&back) {
            leases.tell(&error.to_string());
        }
    }
}

/// Takes up to `demand` of the messages in `names`, which is listed anew when it is empty: a folder of a million files is
/// not read once for each hundred of them.
///
/// # Errors
///
/// When the folders cannot be read or written. What was taken before is delivered first; then it is met again.
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
    leases.tell_lag(taken.len() + waiting.len());
    Ok(waiting.into())
}

/// `None` if it is not ours, or is no message: that one is put aside, for it would come again for ever.
fn take(leases: &Leases, name: &str) -> io::Result<Option<Delivery<SpoolRecord, Token>>> {
    let Some((token, lease)) = leases.take(name)? else {
        return Ok(None);
    };
    let path = leases.folders().held(&lease);
    let read = fs::metadata(&path).and_then(|about| Ok((about.modified().ok(), fs::read(&path)?)));
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
    leases.tell(&format!(
        "{name} is no message and is moved to failed/: {problem}"
    ));
    leases
        .end(&[(token, Ending::Aside)])
        .map_err(io::Error::other)?;
    Ok(None)
}
