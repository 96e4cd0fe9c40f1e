//! One SQL text with `$1` parameters, run on whichever engine the connection belongs to.

use std::convert::identity;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, AssertSqlSafe, Executor as _, Postgres, SqlSafeStr, SqlStr};

use super::DbError;
use super::kept::{Lent, survives};
use super::lite::row::LiteRow;
use super::lite::{self, Lite};

/// A row type that both engines can fill; derive `sqlx::FromRow`.
pub trait FromRow:
    for<'r> sqlx::FromRow<'r, LiteRow> + for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin
{
}
impl<T> FromRow for T where
    T: for<'r> sqlx::FromRow<'r, LiteRow> + for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin
{
}

/// A bound value. The type travels even when it is NULL, since PostgreSQL asks for it.
#[derive(Debug, Clone)]
pub enum Arg {
    /// TEXT
    Text(Option<String>),
    /// BIGINT
    Int(Option<i64>),
    /// BOOLEAN
    Bool(Option<bool>),
    /// DOUBLE PRECISION
    Real(Option<f64>),
    /// BLOB / BYTEA
    Blob(Option<Vec<u8>>),
}

macro_rules! arg_from {
    ($($type:ty => |$v:ident| $variant:ident($e:expr);)*) => {$(
        impl From<$type> for Arg {
            fn from($v: $type) -> Self { Self::$variant(Some($e)) }
        }
        impl From<Option<$type>> for Arg {
            fn from(value: Option<$type>) -> Self { Self::$variant(value.map(|$v| $e)) }
        }
    )*};
}

arg_from! {
    String => |v| Text(v);
    &str => |v| Text(v.to_owned());
    &String => |v| Text(v.clone());
    i64 => |v| Int(v);
    i32 => |v| Int(i64::from(v));
    u32 => |v| Int(i64::from(v));
    u64 => |v| Int(i64::try_from(v).unwrap_or(i64::MAX));
    usize => |v| Int(i64::try_from(v).unwrap_or(i64::MAX));
    bool => |v| Bool(v);
    f64 => |v| Real(v);
    Vec<u8> => |v| Blob(v);
    crate::clock::Timestamp => |v| Int(v.millis());
}

macro_rules! arg_from_id {
    ($($id:ident)*) => {$(
        impl From<crate::ids::$id> for Arg {
            fn from(id: crate::ids::$id) -> Self { Self::Text(Some(id.to_string())) }
        }
        impl From<Option<crate::ids::$id>> for Arg {
            fn from(id: Option<crate::ids::$id>) -> Self { Self::Text(id.map(|id| id.to_string())) }
        }
    )*};
}
arg_from_id! { WorkspaceId AccountId AgentId TeamId InboxId ContactId ConversationId MessageId TurnId AssistantId
KnowledgeBaseId ArticleId ChunkId AlarmId JobId ArtifactId NodeId }

/// What a unit wants done once its work is durable.
pub(super) type AfterCommit = Box<dyn FnOnce() + Send>;

/// One connection of either engine.
pub struct Conn {
    pub(super) inner: Inner,
    after_commit: Vec<AfterCommit>,
}

pub(super) enum Inner {
    Writer(Box<Lite>),
    Reader(lite::Lent),
    Pg(Lent<Postgres>),
    /// Between BEGIN and COMMIT: never kept as it is.
    PgTx(Lent<Postgres>),
    #[cfg(test)]
    Simulated(Box<super::simulated::Link>),
}

/// Runs `$query` on the connection of whichever engine: `$lite` on SQLite's; `$make` and `$pg` on PostgreSQL's, whose result
/// `$read` reads.
macro_rules! run {
    ($query:ident, $conn:ident, $lite:ident, $make:path, $pg:ident, $read:expr) => {{
        let Query { text, args } = $query;
        match &mut $conn.inner {
            Inner::Writer(lite) => Ok(lite.$lite(text.as_str(), &args)?),
            Inner::Reader(lent) => Ok(lent.run(|lite| lite.$lite(text.as_str(), &args))?),
            Inner::Pg(lent) => {
                let arguments = postgres(args)?;
                let done = $make(text, arguments).$pg(lent.begin()?).await;
                lent.ended(done.as_ref().err().is_none_or(survives));
                Ok(done.map($read)?)
            }
            Inner::PgTx(lent) => {
                Ok($make(text, postgres(args)?).$pg(lent.begin()?).await.map($read)?)
            }
            #[cfg(test)]
            Inner::Simulated(link) => {
                link.before(text.as_str()).await?;
                let done = link.lite().$lite(text.as_str(), &args).map_err(DbError::from);
                link.after(text.as_str(), done).await
            }
        }
    }};
}

/// A statement with its bound values.
#[derive(Debug, Clone)]
pub struct Query {
    text: SqlStr,
    args: Vec<Arg>,
}

/// Starts a statement; bind values in the order of `$1`, `$2`, ….
#[must_use]
pub fn sql(text: &'static str) -> Query {
    Query { text: text.into_sql_str(), args: Vec::new() }
}

/// A statement made of names of the schema; never of values.
pub(super) fn sql_made(text: String) -> Query {
    Query { text: AssertSqlSafe(text).into_sql_str(), args: Vec::new() }
}

impl Query {
    /// Binds the next value.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Runs it and returns how many rows it changed.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn execute(self, conn: &mut Conn) -> Result<u64, DbError> {
        run!(self, conn, execute, sqlx::query_with, execute, |done| done.rows_affected())
    }

    /// Every row.
    ///
    /// # Errors
    /// What the engine says, or a row that does not fit `T`.
    pub async fn all<T: FromRow>(self, conn: &mut Conn) -> Result<Vec<T>, DbError> {
        run!(self, conn, all, sqlx::query_as_with, fetch_all, identity)
    }

    /// The first row, if any.
    ///
    /// # Errors
    /// What the engine says, or a row that does not fit `T`.
    pub async fn optional<T: FromRow>(self, conn: &mut Conn) -> Result<Option<T>, DbError> {
        run!(self, conn, optional, sqlx::query_as_with, fetch_optional, identity)
    }

    /// The one row that must be there.
    ///
    /// # Errors
    /// What the engine says, or that there is none.
    pub async fn one<T: FromRow>(self, conn: &mut Conn) -> Result<T, DbError> {
        run!(self, conn, one, sqlx::query_as_with, fetch_one, identity)
    }
}

impl Conn {
    fn new(inner: Inner) -> Self {
        Self { inner, after_commit: Vec::new() }
    }

    pub(super) fn writer(lite: Lite) -> Self {
        Self::new(Inner::Writer(Box::new(lite)))
    }

    pub(super) fn reader(lent: lite::Lent) -> Self {
        Self::new(Inner::Reader(lent))
    }

    pub(super) fn pg(conn: Lent<Postgres>) -> Self {
        Self::new(Inner::Pg(conn))
    }

    /// Begins a transaction in these words; dropping it without an end closes it with the connection.
    pub(super) async fn pg_tx(
        mut conn: Lent<Postgres>,
        begin: &'static str,
    ) -> Result<Self, DbError> {
        conn.begin()?.execute(sqlx::raw_sql(begin)).await?;
        Ok(Self::new(Inner::PgTx(conn)))
    }

    #[cfg(test)]
    pub(super) fn simulated(link: super::simulated::Link) -> Self {
        Self::new(Inner::Simulated(Box::new(link)))
    }

    /// Which engine this connection belongs to.
    #[must_use]
    pub fn kind(&self) -> super::EngineKind {
        match self.inner {
            Inner::Writer(_) | Inner::Reader(_) => super::EngineKind::Sqlite,
            Inner::Pg(_) | Inner::PgTx(_) => super::EngineKind::Postgres,
            #[cfg(test)]
            Inner::Simulated(_) => super::EngineKind::Sqlite,
        }
    }

    /// Runs `action` once the unit's work is durable; dropped if the unit is rolled back.
    pub fn after_commit(&mut self, action: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(action));
    }

    pub(super) fn take_after_commit(&mut self) -> Vec<AfterCommit> {
        std::mem::take(&mut self.after_commit)
    }

    pub(super) async fn commit(mut self) -> Result<(), DbError> {
        if let Inner::PgTx(lent) = &mut self.inner {
            lent.begin()?.execute(sqlx::raw_sql("COMMIT")).await?;
            lent.ended(true);
        }
        for action in self.after_commit {
            action();
        }
        Ok(())
    }

    pub(super) async fn rollback(mut self) {
        if let Inner::PgTx(lent) = &mut self.inner
            && let Ok(connection) = lent.begin()
        {
            // A lost connection rolls back by itself, and is not kept.
            let ended = connection.execute(sqlx::raw_sql("ROLLBACK")).await;
            lent.ended(ended.is_ok());
        }
    }
}

fn postgres(args: Vec<Arg>) -> Result<PgArguments, DbError> {
    let mut out = PgArguments::default();
    for arg in args {
        match arg {
            // PostgreSQL text cannot hold NUL; callers refuse or strip it at the door, this is the last line.
            Arg::Text(v) => {
                out.add(v.map(|v| if v.contains('\0') { v.replace('\0', "") } else { v }))
            }
            Arg::Int(v) => out.add(v),
            Arg::Bool(v) => out.add(v),
            Arg::Real(v) => out.add(v),
            Arg::Blob(v) => out.add(v),
        }
        .map_err(|e| DbError::Sql(sqlx::Error::Encode(e)))?;
    }
    Ok(out)
}
