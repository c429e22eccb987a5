//! Taking spans in: texts of a batch become numbers of the linker.

use std::sync::Arc;

use portolan_model::{
    Entity, EntityId, EntityKind, Ip, ScopeId, SpanColumns, SpanKind, SpanRow, Text,
};
use rustc_hash::FxHashMap;

use super::span::{Marks, Role, Span, protocol};
use crate::naming::Far;
use crate::pool::{Pool, Print, Printer};

/// A service as its spans name it.
pub(super) struct Service {
    pub(super) id: EntityId,
    pub(super) entity: Arc<Entity>,
}

/// What spans refer to by number.
pub(super) struct Pools {
    pub(super) services: Pool<Service>,
    pub(super) far: Pool<Far>,
    pub(super) operations: Pool<Arc<str>>,
    printer: Printer,
}

/// The texts that name a service: environment, namespace, name.
type Who = [Text; 3];

/// What of a row says who is at the other end.
#[derive(PartialEq, Eq, Hash)]
struct FarKey {
    texts: [Text; 9],
    ports: [u16; 2],
}

/// Numbers for the texts of one batch.
pub(super) struct Reader<'a> {
    columns: &'a SpanColumns,
    pools: &'a mut Pools,
    environment: &'a Arc<str>,
    scope: ScopeId,
    services: FxHashMap<Who, u32>,
    far: FxHashMap<FarKey, u32>,
    operations: FxHashMap<Text, u32>,
    /// The last service: rows of a resource follow each other.
    last: (Who, u32),
}

// === impl Pools ===

impl Pools {
    pub(super) fn new() -> Self {
        let nobody = Entity::new(EntityKind::Service, "", "");
        let nobody = Service { id: EntityId::NONE, entity: nobody.into() };
        let mut printer = Printer::default();
        Self {
            services: Pool::new(print_of(EntityId::NONE), nobody),
            far: Far::pool(),
            operations: Pool::new(printer.print(&[""], &[]), "".into()),
            printer,
        }
    }

    /// Whether it is time to forget what no span refers to.
    pub(super) fn is_due(&self) -> bool {
        self.services.is_due() || self.far.is_due() || self.operations.is_due()
    }

    /// Forgets what no span refers to; `each` is to show every span.
    pub(super) fn sweep(&mut self, each: impl FnOnce(&mut dyn FnMut(&Span))) {
        let (mut services, mut far) = (self.services.flags(), self.far.flags());
        let mut operations = self.operations.flags();
        each(&mut |span| {
            services[span.who as usize] = true;
            far[span.far as usize] = true;
            operations[span.operation as usize] = true;
        });
        self.services.keep(&services);
        self.far.keep(&far);
        self.operations.keep(&operations);
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(
        columns: &'a SpanColumns,
        pools: &'a mut Pools,
        environment: &'a Arc<str>,
        scope: ScopeId,
    ) -> Self {
        Self {
            columns,
            pools,
            environment,
            scope,
            services: FxHashMap::default(),
            far: FxHashMap::default(),
            operations: FxHashMap::default(),
            last: ([Text::NONE; 3], 0),
        }
    }

    /// All rows as they are remembered. They say the same few things, and each is looked up once.
    pub(super) fn spans(mut self) -> Vec<Span> {
        let columns = self.columns;
        let rows = columns.rows().iter().enumerate();
        rows.map(|(place, row)| self.span(row, columns.links(place).next().is_some())).collect()
    }

    /// A row as it is remembered.
    fn span(&mut self, row: &SpanRow, has_links: bool) -> Span {
        Span {
            id: row.span.0,
            parent: row.parent.0,
            start: row.start,
            end: row.end.max(row.start),
            who: self.who(row),
            far: self.far(row),
            operation: self.operation(row.operation),
            weight: row.weight_milli.max(1),
            role: Role::of(row),
            protocol: protocol(row, self.columns.say(row.rpc_system)),
            marks: Marks::of(row).and_if(has_links, Marks::LINKS),
        }
    }

    fn who(&mut self, row: &SpanRow) -> u32 {
        let who = [row.environment, row.namespace, row.service];
        if row.service.is_none() {
            return 0;
        }
        if self.last.0 != who {
            let number = match self.services.get(&who) {
                Some(number) => *number,
                None => self.new_service(who),
            };
            self.last = (who, number);
        }
        self.last.1
    }

    fn new_service(&mut self, who: Who) -> u32 {
        let [environment, namespace, name] = who.map(|text| self.columns.say(text));
        let environment = self.environment_of(environment);
        let id = Entity::id_of(environment, namespace, name, EntityKind::Service, "");
        let number = self.pools.services.number(print_of(id), || {
            let entity = Entity {
                environment: environment.into(),
                ..Entity::new(EntityKind::Service, namespace, name)
            };
            Service { id, entity: entity.into() }
        });
        self.services.insert(who, number);
        number
    }

    fn environment_of(&self, said: &'a str) -> &'a str {
        if said.is_empty() { self.environment } else { said }
    }

    fn operation(&mut self, text: Text) -> u32 {
        if text.is_none() {
            return 0;
        }
        let Pools { operations, printer, .. } = &mut *self.pools;
        let columns = self.columns;
        *self.operations.entry(text).or_insert_with(|| {
            let said = columns.say(text);
            operations.number(printer.print(&[said], &[]), || said.into())
        })
    }

    fn far(&mut self, row: &SpanRow) -> u32 {
        // Of who called a server only the address tells anything: its port is of one connection.
        let (address, network, ports) = match row.kind {
            SpanKind::Internal => return 0,
            SpanKind::Server => {
                let seen = row.client_address.or(row.network);
                (Text::NONE, seen, [0, 0])
            }
            _ => (row.address, row.network, [row.port, row.network_port]),
        };
        let texts = [
            row.environment,
            row.peer,
            row.peer_namespace,
            address,
            network,
            row.db_system,
            row.db_name,
            row.messaging_system,
            row.destination,
        ];
        if texts[1..].iter().all(|text| text.is_none()) {
            return 0;
        }
        let key = FarKey { texts, ports };
        if let Some(number) = self.far.get(&key) {
            return *number;
        }
        let number = self.new_far(&key);
        self.far.insert(key, number);
        number
    }

    fn new_far(&mut self, key: &FarKey) -> u32 {
        let [environment, peer, peer_namespace, address, network, system, database, bus, topic] =
            key.texts.map(|text| self.columns.say(text));
        let [port, network_port] = key.ports;
        let by_address = address.parse::<Ip>().ok().map(|ip| (ip, port));
        // A network address without a port is asked with that of the name.
        let by_network = network.parse::<Ip>().ok();
        let by_network =
            by_network.map(|ip| (ip, if network_port == 0 { port } else { network_port }));
        let (ip, ip_port) = by_address.or(by_network).unwrap_or_default();
        let far = Far {
            scope: self.scope,
            environment: self.environment_of(environment),
            peer,
            peer_namespace,
            address,
            port,
            ip: ip.beyond_nat64(),
            ip_port,
            db_system: system,
            db_name: database,
            messaging_system: bus,
            destination: topic,
        };
        far.number(&mut self.pools.far, &mut self.pools.printer)
    }
}

/// A service's identity is a hash already.
fn print_of(service: EntityId) -> Print {
    Print(u128::from(service.0))
}
