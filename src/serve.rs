//! The life of a push, from the arguments to the exit status: read it top to bottom.
//!
//! Each step is done elsewhere; here is their order, and what a refusal at one of them means for the others.

use std::io::{self, BufReader, Read, Write};

use anyhow::{Result, ensure};
use bstr::{BStr, BString, ByteSlice};

use crate::{
    balanced::recover::{Asked, Parties, Recovery, Verdict},
    cli::Cli,
    command::{Command, Refusal, Writer},
    config::Config,
    hooks::{Hooks, proc_receive_refs, reference_transaction},
    interrupt::Interrupts,
    maintenance,
    objects::{
        connectivity::{self, Grounds, Tips},
        database::Database,
        intake::{Intake, UnpackError},
        quarantine::Quarantine,
        shallow::Shallow,
    },
    refs::{
        aliases, alternates,
        checkout::WorkTreeUpdate,
        policy::Policy,
        snapshot::Snapshot,
        store,
        transaction::{Edit, Failure, Hook, Mode, Queued},
        visibility::HiddenRefs,
    },
    repository::Repository,
    trace::{self, session},
    wire::{advertise::advertise, report, request::Request, sideband::Sideband},
};

/// How many bytes of the client's are read at a time.
const READ_AHEAD: usize = 64 * 1024;

/// Serve one push as the command line asks for it. Errors end the program with status 128; refused refs do not.
pub fn serve(cli: &Cli) -> Result<()> {
    let (repository, config) = Repository::enter(cli.git_dir())?;
    settle_dead(&repository, &config)?;
    let shallow = Shallow::read(&repository)?;
    let mut snapshot = Snapshot::read(&repository)?;
    if cli.http_backend_info_refs || !cli.stateless_rpc {
        advertise(&repository, &config, &snapshot, shallow.roots(), session::id(), &mut io::stdout().lock())?;
        io::stdout().flush()?;
    }
    if cli.http_backend_info_refs {
        return Ok(());
    }
    let mut input = BufReader::with_capacity(READ_AHEAD, io::stdin().lock());
    let Some(request) = Request::read(&mut input, repository.hash, &config)? else {
        return Ok(());
    };
    if let Some(session) = &request.capabilities.session_id {
        trace::transfer("client-sid", session);
    }
    if !cli.stateless_rpc {
        // The client may have taken its time.
        snapshot = snapshot.refresh(&repository)?;
    }
    let sideband = Sideband::new(Box::new(io::stdout()), request.capabilities.side_band);
    let options = request.push_options.as_deref().unwrap_or_default();
    let hooks = Hooks::new(&repository, &config, &sideband, options)?;
    let push = Push {
        cli,
        repository: &repository,
        config: &config,
        database: Database::open(&repository)?,
        shallow: &shallow,
        snapshot: &snapshot,
        interrupts: Interrupts::listen()?,
        sideband: &sideband,
        hooks: &hooks,
        request: &request,
    };
    push.carry_through(&mut input)
}

/// Settle what transactions of dead processes left.
fn settle_dead(repository: &Repository, config: &Config) -> Result<()> {
    let recovery = Recovery { repository, config, interrupts: &Interrupts::default(), asked: Asked::ByPush };
    recovery.run(&mut Parties {
        ask: &mut |_, _| Verdict::Unknown,
        bring_in: &mut |quarantine| anyhow::bail!("the objects in '{}' are still in quarantine", quarantine.display()),
        tell: &mut |_, _, _| {},
    })?;
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
    snapshot: &'a Snapshot,
    interrupts: Interrupts,
    sideband: &'a Sideband,
    hooks: &'a Hooks<'a>,
    request: &'a Request,
}

impl Push<'_> {
    fn carry_through(&self, input: &mut dyn Read) -> Result<()> {
        let mut commands = self.request.commands.clone();
        if let Some(interval) = self.config.keep_alive {
            self.sideband.keep_alive(interval)?;
        }
        let taken_in = if self.request.has_pack() { self.take_in(input)?.map(Some) } else { Ok(None) };
        let unpack_failure = taken_in.as_ref().err().map(|reason| BString::from(reason.to_string()));
        match taken_in {
            Ok(quarantine) => self.decide_and_write(quarantine, &mut commands)?,
            Err(_) => refuse_all(&mut commands, &Refusal::UnpackerError),
        }
        self.report(unpack_failure.as_ref().map(|reason| reason.as_bstr()), &commands);
        self.hooks.post_receive(&commands)?;
        self.hooks.post_update(&commands)?;
        maintenance::run(self.repository, self.config, self.sideband)?;
        if self.config.update_server_info {
            maintenance::server_info::update(self.repository, self.config, &self.database)?;
        }
        self.hooks.finish();
        // Nobody may be left to hear the end of the conversation: that changes nothing.
        self.sideband.finish().ok();
        Ok(())
    }

    /// Read the pack into a quarantine, or say why it cannot be taken.
    fn take_in(&self, input: &mut dyn Read) -> Result<Result<Quarantine, UnpackError>> {
        let quarantine = Quarantine::create(self.repository, self.config, &self.interrupts)?;
        let intake = Intake {
            repository: self.repository,
            config: self.config,
            database: &self.database,
            quarantine: &quarantine,
            messages: self.sideband,
            progress: self.has_progress(),
            reject_thin: self.cli.reject_thin_pack_for_testing,
        };
        let received = intake.receive(input);
        Ok(received.map(|()| quarantine))
    }

    fn has_progress(&self) -> bool {
        self.request.capabilities.side_band && !self.request.capabilities.quiet && !self.cli.quiet
    }

    /// Give every command its verdict, and carry out those that nothing speaks against.
    fn decide_and_write(&self, quarantine: Option<Quarantine>, commands: &mut [Command]) -> Result<()> {
        let hidden = HiddenRefs::new(&self.config.hide_refs);
        if let Some(quarantine) = &quarantine
            && !self.cli.skip_connectivity_check
        {
            self.refuse_incomplete(quarantine, &hidden, commands)?;
        }
        self.refuse_hidden(&hidden, commands);
        proc_receive_refs::mark(&self.config.values, commands)?;

        let environment = quarantine.as_ref().map(Quarantine::environment).unwrap_or_default();
        if self.hooks.pre_receive(commands, &environment)?.is_refusal() {
            refuse_all(commands, &Refusal::PreReceiveDeclined);
        }
        self.refuse_rest_if_atomic(commands);
        if commands.iter().all(Command::is_refused) {
            return Ok(());
        }
        let _kept = match quarantine.map(Quarantine::migrate).transpose() {
            Ok(kept) => kept,
            Err(error) => {
                self.sideband.error(format_args!("{:#}", error.root_cause()));
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
        if self.request.capabilities.atomic {
            self.write(commands, Mode::AllOrNone, |_| true)
        } else {
            // What goes may make room for what comes.
            self.write(commands, Mode::EachAlone, Command::is_deletion)?;
            self.write(commands, Mode::EachAlone, |command| !command.is_deletion())
        }
    }

    /// All that a new value reaches must be there, in quarantine or behind what the repository vouches for.
    fn refuse_incomplete(&self, quarantine: &Quarantine, hidden: &HiddenRefs, commands: &mut [Command]) -> Result<()> {
        let alternates = alternates::tips(self.repository, self.config);
        let grounds = Grounds {
            database: &self.database.with_quarantine(quarantine.dir(), self.repository.hash)?,
            tips: &Tips { repository: self.repository, snapshot: self.snapshot, hidden, alternates: &alternates },
            config: self.config,
            shallow: self.shallow,
            client_shallow: &self.request.shallow,
        };
        connectivity::check(&grounds, self.sideband, self.has_progress(), commands);
        Ok(())
    }

    /// A client cannot see hidden refs, and must not guess at them.
    fn refuse_hidden(&self, hidden: &HiddenRefs, commands: &mut [Command]) {
        for command in commands {
            let full = self.full_name(command.name());
            if hidden.is_hidden(Some(command.name()), full.as_bstr()) {
                let deletes = command.is_deletion();
                command.refuse(if deletes { Refusal::HiddenDeletion } else { Refusal::HiddenUpdate });
            }
        }
    }

    /// In an atomic push one refusal, at whatever step, is the end of all.
    fn refuse_rest_if_atomic(&self, commands: &mut [Command]) {
        if self.request.capabilities.atomic && commands.iter().any(Command::is_refused) {
            refuse_all(commands, &Refusal::AtomicPushFailure);
        }
    }

    /// Put the commands that are `due` to the policy and, one after the other, the update hook, and write those that pass
    /// in one transaction.
    fn write(&self, commands: &mut [Command], mode: Mode, due: impl Fn(&Command) -> bool) -> Result<()> {
        let due = |command: &Command| !command.is_refused() && command.writer == Writer::Transaction && due(command);
        if !commands.iter().any(due) {
            return Ok(());
        }
        let policy =
            Policy::new(self.repository, self.config, &self.database, self.snapshot, self.hooks, self.sideband)?;
        let (mut indices, mut edits, mut work_trees) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..commands.len() {
            let command = &mut commands[index];
            if !due(command) {
                continue;
            }
            if let Some(allowed) = policy.decide(command)? {
                let name = self.full_name(command.name());
                edits.push(Edit { name, old: allowed.old, new: command.new });
                work_trees.push(allowed.work_tree);
                indices.push(index);
            } else if mode == Mode::AllOrNone {
                refuse_all(commands, &Refusal::AtomicPushFailure);
                return Ok(());
            }
        }
        if edits.is_empty() {
            return Ok(());
        }
        let outcomes = self.commit(edits, work_trees, mode)?;
        for (index, outcome) in indices.into_iter().zip(outcomes) {
            if let Err(refusal) = outcome {
                commands[index].refuse(refusal);
            }
        }
        Ok(())
    }

    /// Write refs in one transaction; what became of each, in the order of `edits`.
    fn commit(
        &self,
        edits: Vec<Edit>,
        work_trees: Vec<Option<WorkTreeUpdate<'_>>>,
        mode: Mode,
    ) -> Result<Vec<Result<(), Refusal>>> {
        let count = edits.len();
        let mut hook = |phase, lines: &BStr| {
            ensure!(!self.hooks.reference_transaction(phase, lines)?.is_refusal(), "the hook said no");
            Ok(())
        };
        let hook = self.hooks.exists(reference_transaction::EVENT).then_some(&mut hook as Hook<'_>);
        let queued = Queued::new(self.repository, self.config, &self.interrupts, edits)?;
        let committed = match store::prepare(queued, (self.repository, self.config), &self.database, mode, hook) {
            Err(aborted) => Err(aborted),
            Ok(mut prepared) => {
                for (index, work_tree) in work_trees.into_iter().enumerate() {
                    let Some(work_tree) = work_tree.filter(|_| prepared.stands(index)) else { continue };
                    let Err(refusal) = work_tree.carry_out(self.hooks)? else { continue };
                    if mode == Mode::AllOrNone {
                        let mut verdicts = vec![Err(Refusal::AtomicPushFailure); count];
                        verdicts[index] = Err(refusal);
                        return Ok(verdicts);
                    }
                    prepared.withdraw(index, refusal);
                }
                prepared.commit()
            }
        };
        match committed {
            Err(aborted) => {
                self.sideband.error(aborted.message);
                Ok(vec![Err(aborted.refusal); count])
            }
            Ok(committed) => {
                for complaint in committed.complaints {
                    eprintln!("error: {complaint}");
                }
                let told = |failure: Failure| {
                    if !failure.message.is_empty() {
                        self.sideband.error(&failure.message);
                    }
                    failure.refusal
                };
                Ok(committed.outcomes.into_iter().map(|outcome| outcome.map_err(told)).collect())
            }
        }
    }

    fn full_name(&self, name: &BStr) -> BString {
        [self.repository.namespace.as_slice(), name].concat().into()
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

fn refuse_all(commands: &mut [Command], why: &Refusal) {
    for command in commands {
        command.refuse(why.clone());
    }
}
