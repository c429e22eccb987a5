//! One data point of `*.network.flow.bytes`: its value, its interval and its attributes.

use portolan_model::Source;

use super::{
    Address, Broken, FIXED64, LEN, Proto, RawFlow, Reader, Refused, Reject, VARINT, WireTime, key,
};

/// `NumberDataPoint`.
#[derive(Default)]
pub(super) struct Point<'a> {
    start: u64,
    end: u64,
    value: Value<'a>,
    src: Value<'a>,
    dst: Value<'a>,
    src_port: Value<'a>,
    dst_port: Value<'a>,
    client_port: Value<'a>,
    server_port: Value<'a>,
    direction: Value<'a>,
    transport: Value<'a>,
    agent: Value<'a>,
}

/// A value of an attribute, or of the point itself.
#[derive(Copy, Clone, Default)]
enum Value<'a> {
    #[default]
    None,
    Text(&'a [u8]),
    Int(i64),
    Double(f64),
}

// === impl Point ===

impl<'a> Point<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Broken> {
        const START: u32 = key(2, FIXED64);
        const TIME: u32 = key(3, FIXED64);
        const AS_DOUBLE: u32 = key(4, FIXED64);
        const AS_INT: u32 = key(6, FIXED64);
        const ATTRIBUTES: u32 = key(7, LEN);
        const READ: u64 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7;
        let mut reader = Reader::new(message);
        let mut point = Self::default();
        while reader.at() < message.len() {
            match reader.key()? {
                START => point.start = u64::from_le_bytes(reader.fixed()?),
                TIME => point.end = u64::from_le_bytes(reader.fixed()?),
                AS_DOUBLE => point.value = Value::Double(f64::from_le_bytes(reader.fixed()?)),
                AS_INT => point.value = Value::Int(i64::from_le_bytes(reader.fixed()?)),
                ATTRIBUTES => point.read_attribute(reader.delimited()?)?,
                key => reader.skip_unless(key, READ)?,
            }
        }
        Ok(point)
    }

    /// `KeyValue`: key (1) and value (2).
    fn read_attribute(&mut self, message: &'a [u8]) -> Result<(), Broken> {
        const KEY: u32 = key(1, LEN);
        const VALUE: u32 = key(2, LEN);
        let mut reader = Reader::new(message);
        let (mut name, mut value) = (&[][..], Value::None);
        while reader.at() < message.len() {
            match reader.key()? {
                KEY => name = reader.delimited()?,
                VALUE => value = Value::read(reader.delimited()?)?,
                key => reader.skip_unless(key, 1 << 1 | 1 << 2)?,
            }
        }
        let place = match name {
            b"src.address" => &mut self.src,
            b"dst.address" => &mut self.dst,
            b"src.port" => &mut self.src_port,
            b"dst.port" => &mut self.dst_port,
            b"client.port" => &mut self.client_port,
            b"server.port" => &mut self.server_port,
            b"direction" => &mut self.direction,
            b"transport" => &mut self.transport,
            b"obi.ip" | b"beyla.ip" => &mut self.agent,
            _ => return Ok(()),
        };
        *place = value;
        Ok(())
    }

    pub(super) fn raw(&self) -> Result<RawFlow, Refused> {
        if self.src.is_absent() || self.dst.is_absent() {
            let why = "no src.address and dst.address: select these attributes for the metric";
            return Err(Refused::new(Reject::BadField, why));
        }
        let Some(transport) = self.transport.text().and_then(Proto::parse) else {
            return Err(bad("no transport that is known: select this attribute for the metric"));
        };
        if matches!(transport, Proto::ICMP | Proto::ICMP6) {
            let why = "icmp without its type: it may speak of another flow";
            return Err(Refused::new(Reject::Derived, why));
        }
        let (src_port, dst_port) = self.ports();
        let mut raw = RawFlow {
            start: WireTime::from_nanos(self.start),
            end: WireTime::from_nanos(self.end),
            src_port: src_port.port()?,
            dst_port: dst_port.port()?,
            proto: transport.0.into(),
            bytes: self.value.count()?,
            source: Source::Ebpf,
            ..RawFlow::default()
        };
        for (address, value) in
            [(Address::Src, self.src), (Address::Dst, self.dst), (Address::Agent, self.agent)]
        {
            match value.text() {
                Some(text) => raw.set_text(address, text),
                None if value.is_absent() => {}
                None => raw.set(address, None),
            }
        }
        Ok(raw)
    }

    /// By their own attributes, or by those of client and server and the direction. Which end is
    /// the client may be a guess from the ports there: it is no evidence.
    fn ports(&self) -> (Value<'a>, Value<'a>) {
        if !self.src_port.is_absent() || !self.dst_port.is_absent() {
            return (self.src_port, self.dst_port);
        }
        match self.direction.text() {
            Some("request") => (self.client_port, self.server_port),
            Some("response") => (self.server_port, self.client_port),
            _ => (Value::None, Value::None),
        }
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    /// `AnyValue`: text (1), integer (3) or floating point (4); other kinds are passed over.
    fn read(message: &'a [u8]) -> Result<Self, Broken> {
        const TEXT: u32 = key(1, LEN);
        const INT: u32 = key(3, VARINT);
        const DOUBLE: u32 = key(4, FIXED64);
        let mut reader = Reader::new(message);
        let mut value = Self::None;
        while reader.at() < message.len() {
            match reader.key()? {
                TEXT => value = Self::Text(reader.delimited()?),
                INT => value = Self::Int(reader.varint()? as i64),
                DOUBLE => value = Self::Double(f64::from_le_bytes(reader.fixed()?)),
                key => reader.skip_unless(key, 1 << 1 | 1 << 3 | 1 << 4)?,
            }
        }
        Ok(value)
    }

    const fn is_absent(self) -> bool {
        matches!(self, Self::None | Self::Text([]))
    }

    fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A port, as a number or as text of one; 0 if it is not there.
    fn port(self) -> Result<u32, Refused> {
        let port = match self {
            Self::None | Self::Text([]) => return Ok(0),
            Self::Int(number) => u32::try_from(number).ok(),
            _ => self.text().and_then(|text| text.parse().ok()),
        };
        port.ok_or_else(|| bad("a port that is no number"))
    }

    /// Bytes: whole and not negative, and in a floating point number no more than it holds exactly.
    fn count(self) -> Result<u64, Refused> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Int(number) => u64::try_from(number).ok(),
            Self::Double(number) if number.fract() == 0.0 && (0.0..=EXACT).contains(&number) => {
                Some(number as u64)
            }
            _ => None,
        }
        .ok_or_else(|| bad("a value that is no count of bytes"))
    }
}

fn bad(why: &str) -> Refused {
    Refused::new(Reject::BadField, why)
}
