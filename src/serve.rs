//! The life of a push, from the arguments to the exit status: read it top to bottom.
//!
//! Each step is done elsewhere; here is their order, and what a refusal at one of them means for the others.

mod boundary;
mod certify;
mod lasting;
mod write;

use std::{
    fs::File,
    io::{self, BufReader},
    os::fd::AsFd,
};

use anyhow::{Context, Result};
use bstr::{BStr, BString, ByteSlice};

use crate::{
    balanced::{
        beside::{self, Beside},
        transaction_id::TransactionId,
    },
    certificate::nonce::Nonce,
    cli::Cli,
    command::{Command, Refusal, Writer},
    config::Config,
    hooks::{Hooks, proc_receive_refs, receive},
    interrupt::Interrupts,
    maintenance,
    objects::{
        database::Database,
        intake::{Intake, UnpackError},
        quarantine::Quarantine,
        removals::Untouched,
        shallow::Shallow,
    },
    refs::{aliases, snapshot::Snapshot, transaction::Mode, visibility::HiddenRefs},
    repository::Repository,
    system_error,
    trace::{self, session},
    wire::{
        advertise::{advertise, negotiate_version_1},
        client::Client,
        report,
        request::Request,
        sideband::Sideband,
    },
};

/// How many bytes of the client's are read at a time.
const READ_AHEAD: usize = 64 * 1024;

/// Serve one push as the command line asks for it. Errors end the program with status 128; refused refs do not.
pub fn serve(cli: &Cli) -> Result<()> {
    let (repository, config) = Repository::enter(cli.git_dir())?;
    let mut beside = Beside::begin(&repository, &config)?;
    let shallow = Shallow::read(&repository)?;
    let mut snapshot = Snapshot::read(&repository)?;
    let seed = config.cert_nonce_seed.as_ref().map(|seed| seed.as_bstr());
    let nonce = seed.map(|seed| Nonce::issue(repository.given.as_ref(), repository.hash, seed)).transpose()?;
    if cli.http_backend_info_refs || !cli.stateless_rpc {
        advertise(&repository, &config, &snapshot, shallow.roots(), nonce.as_ref(), session::id(), &mut Client)?;
    } else {
        // An advertisement said so before, from another process.
        negotiate_version_1();
        // What nobody was told of is to be as sound.
        snapshot.check()?;
    }
    if cli.http_backend_info_refs {
        return Ok(());
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned().context("cannot read from stdin")?;
    let mut input = BufReader::with_capacity(READ_AHEAD, File::from(stdin));
    let request = Request::read(&mut input, repository.hash, &config)?;
    let sideband = Sideband::new(Box::new(Client), request.capabilities.side_band);
    if request.commands.is_empty() {
        // The end of a conversation that may have been a certificate of nothing.
        sideband.finish().ok();
        return Ok(());
    }
    if let Some(session) = &request.capabilities.session_id {
        trace::transfer("client-sid", session);
    }
    if let Some(beside) = &mut beside {
        let names = request.commands.iter().map(|command| full_name(&repository, command.name()));
        if beside.wait_if_it_concerns(names, &repository, &config) {
            snapshot = snapshot.refresh(&repository)?;
        }
    }
    let interrupts = lasting::interrupts(&config, &sideband, &request)?;
    let options = request.push_options.as_deref().unwrap_or_default();
    let hooks = Hooks::new(&repository, &config, (&sideband, &interrupts), options)?;
    let push = Push {
        cli,
        repository: &repository,
        config: &config,
        database: Database::open(&repository)?,
        shallow: &shallow,
        snapshot,
        interrupts,
        transaction: TransactionId::new(),
        sideband: &sideband,
        hooks,
        request: &request,
        nonce: nonce.as_ref(),
    };
    push.carry_through(input)?;
    if let Some(beside) = &mut beside {
        beside.wait(beside::MOMENT);
    }
    Ok(())
}

/// A push, and all that its steps need to know.
struct Push<'a> {
    cli: &'a Cli,
    repository: &'a Repository,
    config: &'a Config,
    /// The repository's objects, without those of the push until they are moved in.
    database: Database,
    /// Where the repository's history is cut off.
    shallow: &'a Shallow,
    snapshot: Snapshot,
    interrupts: Interrupts,
    /// The name that a vote on it goes by.
    transaction: TransactionId,
    sideband: &'a Sideband,
    hooks: Hooks<'a>,
    request: &'a Request,
    /// What a push certificate has to repeat, if certificates are asked for.
    nonce: Option<&'a Nonce<'a>>,
}

impl Push<'_> {
    fn carry_through(mut self, input: BufReader<File>) -> Result<()> {
        let mut commands = self.request.commands.clone();
        let taken_in = if self.request.has_pack() { self.take_in(input).map(Some) } else { Ok(None) };
        let unpack_failure = taken_in.as_ref().err().map(|reason| BString::from(reason.to_string()));
        let mut roots_for_hooks = None;
        match taken_in {
            Ok(mut quarantine) => {
                if self.snapshot.is_old() {
                    // The client may have taken its time, and refs that went meanwhile vouch for nothing.
                    self.snapshot = self.snapshot.refresh(self.repository)?;
                }
                self.refuse_unsigned_options(&mut commands);
                // A vote takes its time, and others may tidy up meanwhile.
                let is_watched = self.config.balanced_atomic && !self.cli.skip_connectivity_check;
                let untouched = (is_watched && quarantine.is_some()).then(|| Untouched::since_now(&self.database));
                if let Some(quarantine) = &mut quarantine {
                    roots_for_hooks = self.examine(quarantine, &mut commands)?;
                }
                self.decide_and_write(quarantine, untouched.as_ref(), &mut commands)?;
            }
            Err(_) => refuse_all(&mut commands, &Refusal::UnpackerError),
        }
        self.report(unpack_failure.as_ref().map(|reason| reason.as_bstr()), &commands);
        self.hooks.post_receive(&commands)?;
        self.hooks.post_update(&commands)?;
        drop(roots_for_hooks);
        maintenance::run(self.repository, self.config, self.sideband, &self.interrupts)?;
        if self.config.update_server_info
            && let Err(error) = maintenance::server_info::update(self.repository, self.config, &self.database)
        {
            // The push is done, whether or not these files could follow.
            say!("error: {}", system_error::chain(&error));
        }
        self.hooks.finish();
        // Nobody may be left to hear the end of the conversation: that changes nothing.
        self.sideband.finish().ok();
        Ok(())
    }

    /// Read the pack into a quarantine, or say why it cannot be taken.
    fn take_in(&self, input: BufReader<File>) -> Result<Quarantine, UnpackError> {
        let mut quarantine = self.quarantine().map_err(|error| UnpackError::no_quarantine(&error))?;
        let intake = Intake {
            repository: self.repository,
            config: self.config,
            database: &self.database.beside_quarantine(&quarantine),
            quarantine: &quarantine,
            messages: self.sideband,
            progress: self.has_progress(),
            reject_thin: self.cli.reject_thin_pack_for_testing,
            cut_off: &[self.shallow.roots(), &self.request.shallow].concat(),
        };
        quarantine.is_closed = intake.receive(&mut lasting::Patient { input, interrupts: &self.interrupts })?;
        match quarantine.stage() {
            Ok(()) => Ok(quarantine),
            Err(error) if quarantine.is_made() => Err(UnpackError::not_written(&error, self.sideband)),
            Err(error) => Err(UnpackError::no_quarantine(&error)),
        }
    }

    /// A place for what the push brings.
    fn quarantine(&self) -> Result<Quarantine> {
        let (repository, config, interrupts) = (self.repository, self.config, &self.interrupts);
        match config.balanced_atomic {
            true => Quarantine::create_for(&self.transaction, repository, config, interrupts),
            false => {
                let quarantine = Quarantine::create(repository, config, interrupts)?;
                // What it will be shown to wants files.
                if self.hooks.exists(receive::PRE_RECEIVE) {
                    quarantine.dir()?;
                }
                Ok(quarantine)
            }
        }
    }

    fn has_progress(&self) -> bool {
        self.request.capabilities.side_band && !self.request.capabilities.quiet && !self.cli.quiet
    }

    /// Give every command its verdict, and carry out those that nothing speaks against.
    fn decide_and_write(
        &self,
        mut quarantine: Option<Quarantine>,
        untouched: Option<&Untouched>,
        commands: &mut [Command],
    ) -> Result<()> {
        self.refuse_hidden(commands);
        proc_receive_refs::mark(&self.config.values, commands)?;

        if self.config.balanced_atomic {
            // Nobody is asked about what cannot be.
            self.refuse_unbalanced(commands);
            self.refuse_rest_if_atomic(commands);
            if commands.iter().all(Command::is_refused) {
                return Ok(());
            }
        }
        self.certify(&mut quarantine, commands)?;
        let is_asked = self.hooks.exists(receive::PRE_RECEIVE);
        let shown = quarantine.as_ref().filter(|_| is_asked || self.config.balanced_atomic);
        let inside = self.hooks.inside(&shown.map(Quarantine::environment).transpose()?.unwrap_or_default());
        if is_asked && inside.pre_receive(commands)?.is_refusal() {
            refuse_all(commands, &Refusal::PreReceiveDeclined);
        }
        self.refuse_rest_if_atomic(commands);
        if commands.iter().all(Command::is_refused) {
            return Ok(());
        }
        if self.config.balanced_atomic {
            return self.put_to_vote(quarantine, untouched, &inside, commands);
        }
        let _kept = match quarantine.map(Quarantine::migrate).transpose() {
            Ok(kept) => kept,
            Err(error) => {
                self.sideband.error(system_error::chain(&error));
                refuse_all(commands, &Refusal::other("unable to migrate objects to permanent storage"));
                return Ok(());
            }
        };
        aliases::check(self.repository, self.sideband, commands)?;
        self.refuse_rest_if_atomic(commands);
        if commands.iter().any(|command| command.writer == Writer::ProcReceive && !command.is_refused()) {
            // What it has carried out stands, whatever becomes of the rest.
            self.hooks.proc_receive(commands, &self.request.capabilities)?;
        }
        if self.is_atomic() {
            self.write(commands, Mode::AllOrNone, |_| true)
        } else {
            // What goes may make room for what comes.
            self.write(commands, Mode::EachAlone, Command::is_deletion)?;
            self.write(commands, Mode::EachAlone, |command| !command.is_deletion())
        }
    }

    /// A client cannot see hidden refs, and must not guess at them.
    fn refuse_hidden(&self, commands: &mut [Command]) {
        let hidden = HiddenRefs::new(&self.config.hide_refs);
        for command in commands {
            let full = self.full_name(command.name());
            if hidden.is_hidden(Some(command.name()), full.as_bstr()) {
                let deletes = command.is_deletion();
                command.refuse(if deletes { Refusal::HiddenDeletion } else { Refusal::HiddenUpdate });
            }
        }
    }

    /// What balanced mode cannot promise to undo, it does not begin.
    fn refuse_unbalanced(&self, commands: &mut [Command]) {
        for command in commands.iter_mut().filter(|command| command.writer == Writer::ProcReceive) {
            command.refuse(Refusal::other("proc-receive is not possible in balanced-atomic mode"));
        }
    }

    /// True if it is carried out as a whole or not at all, whether or not the client asked for that.
    fn is_atomic(&self) -> bool {
        self.request.capabilities.atomic || self.config.balanced_atomic
    }

    /// In an atomic push one refusal, at whatever step, is the end of all.
    fn refuse_rest_if_atomic(&self, commands: &mut [Command]) {
        if self.is_atomic() && commands.iter().any(Command::is_refused) {
            refuse_all(commands, &Refusal::AtomicPushFailure);
        }
    }

    fn full_name(&self, name: &BStr) -> BString {
        full_name(self.repository, name)
    }

    fn report(&self, unpack_failure: Option<&BStr>, commands: &[Command]) {
        if self.request.capabilities.report_status || self.request.capabilities.report_status_v2 {
            // A client that went away does not undo what was committed, nor keep the post hooks from running.
            self.sideband
                .report(&report::render(unpack_failure, commands, self.request.capabilities.report_status_v2))
                .ok();
        }
    }
}

/// The name of a ref in the repository that is `name` in the namespace of the push.
fn full_name(repository: &Repository, name: &BStr) -> BString {
    [repository.namespace.as_slice(), name].concat().into()
}

fn refuse_all(commands: &mut [Command], why: &Refusal) {
    for command in commands {
        command.refuse(why.clone());
    }
}
