//! A signed push: its certificate is kept with the objects that it brings, checked, and shown to the hooks that are to judge it.

use anyhow::{Context, Result};

use super::{Push, refuse_all};
use crate::{
    certificate,
    command::{Command, Refusal},
    hooks::{balanced_update, receive},
    objects::{intake::store_blob, quarantine::Quarantine},
};

impl Push<'_> {
    /// Push options other than those that were signed are nobody's.
    pub(super) fn refuse_unsigned_options(&self, commands: &mut [Command]) {
        let options = self.request.push_options.as_deref().unwrap_or_default();
        if self.request.certificate.as_ref().is_some_and(|certificate| !certificate.agrees_with(options)) {
            refuse_all(commands, &Refusal::other("inconsistent push options"));
        }
    }

    /// Store the certificate, if there is one, have it checked, and let hooks know; nothing of all that if there is no hook to
    /// ask about it.
    ///
    /// It waits in quarantine like every other object, so that a refused push leaves nothing behind. A push that brings no
    /// other gets one for it.
    pub(super) fn certify(&self, quarantine: &mut Option<Quarantine>, commands: &[Command]) -> Result<()> {
        let Some(certificate) = &self.request.certificate else { return Ok(()) };
        // Only pre-receive hears of a push in which everything is refused by now.
        let goes_on = !commands.iter().all(Command::is_refused);
        let hooks = [
            (true, receive::PRE_RECEIVE),
            (goes_on, "post-receive"),
            (goes_on && self.config.balanced_atomic, balanced_update::EVENT),
        ];
        if !hooks.into_iter().any(|(is_due, event)| is_due && self.hooks.exists(event)) {
            return Ok(());
        }
        let quarantine = match quarantine {
            Some(quarantine) => quarantine,
            None => quarantine.insert(self.quarantine()?),
        };
        let id = store_blob(certificate.text(), self.repository.hash, quarantine, &self.database, self.config)
            .context("cannot store the push certificate")?;
        let environment = self.hooks.environment();
        let signature = certificate::check(certificate, &self.config.values, &environment, quarantine.dir()?)?;
        // Only where each request is answered by a process of its own can the nonce be another's.
        let slop = self.cli.stateless_rpc.then_some(self.config.cert_nonce_slop);
        let judge = |nonce: &certificate::nonce::Nonce<'_>| nonce.judge(certificate.headers("nonce").next(), slop);
        let nonce = self.nonce.map(judge).transpose()?;
        self.hooks.show_certificate(certificate::variables(&id, &signature, nonce.as_ref()));
        Ok(())
    }
}
