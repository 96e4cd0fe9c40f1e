//! What sqlx wants beside rows: connections, statements, transactions. There are none of it here, and the compiler knows: a
//! value of [`Nothing`] cannot be made, so its methods have nothing to do.

use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;
use sqlx::error::BoxDynError;
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{
    Arguments, ColumnIndex, ConnectOptions, Connection, Either, Encode, Error, FromRow,
    IntoArguments, SqlStr, Statement, Transaction, Type,
};
use sqlx_core::Url;
use sqlx_core::transaction::TransactionManager;

use super::row::{LiteColumn, LiteRow, LiteRows, LiteType};

/// Cannot be.
#[derive(Debug, Clone)]
pub enum Nothing {}

impl Connection for Nothing {
    type Database = LiteRows;
    type Options = Self;

    async fn close(self) -> Result<(), Error> {
        match self {}
    }

    async fn close_hard(self) -> Result<(), Error> {
        match self {}
    }

    async fn ping(&mut self) -> Result<(), Error> {
        match *self {}
    }

    async fn begin(&mut self) -> Result<Transaction<'_, LiteRows>, Error> {
        match *self {}
    }

    fn shrink_buffers(&mut self) {
        match *self {}
    }

    async fn flush(&mut self) -> Result<(), Error> {
        match *self {}
    }

    fn should_flush(&self) -> bool {
        match *self {}
    }
}

impl FromStr for Nothing {
    type Err = Error;

    fn from_str(_: &str) -> Result<Self, Error> {
        Err(Error::Configuration("there are rows here, and no connections".into()))
    }
}

impl ConnectOptions for Nothing {
    type Connection = Self;

    fn from_url(url: &Url) -> Result<Self, Error> {
        url.as_str().parse()
    }

    async fn connect(&self) -> Result<Self, Error> {
        match *self {}
    }

    fn log_statements(self, _: LevelFilter) -> Self {
        match self {}
    }

    fn log_slow_statements(self, _: LevelFilter, _: Duration) -> Self {
        match self {}
    }
}

impl TransactionManager for Nothing {
    type Database = LiteRows;

    async fn begin(conn: &mut Self, _: Option<SqlStr>) -> Result<(), Error> {
        match *conn {}
    }

    async fn commit(conn: &mut Self) -> Result<(), Error> {
        match *conn {}
    }

    async fn rollback(conn: &mut Self) -> Result<(), Error> {
        match *conn {}
    }

    fn start_rollback(conn: &mut Self) {
        match *conn {}
    }

    fn get_transaction_depth(conn: &Self) -> usize {
        match *conn {}
    }
}

impl Statement for Nothing {
    type Database = LiteRows;

    fn into_sql(self) -> SqlStr {
        match self {}
    }

    fn sql(&self) -> &SqlStr {
        match *self {}
    }

    fn parameters(&self) -> Option<Either<&[LiteType], usize>> {
        match *self {}
    }

    fn columns(&self) -> &[LiteColumn] {
        match *self {}
    }

    fn query(&self) -> Query<'_, LiteRows, NoArguments> {
        match *self {}
    }

    fn query_with<A: IntoArguments<LiteRows>>(&self, _: A) -> Query<'_, LiteRows, A> {
        match *self {}
    }

    fn query_as<O>(&self) -> QueryAs<'_, LiteRows, O, NoArguments>
    where
        O: for<'r> FromRow<'r, LiteRow>,
    {
        match *self {}
    }

    fn query_as_with<'s, O, A>(&'s self, _: A) -> QueryAs<'s, LiteRows, O, A>
    where
        O: for<'r> FromRow<'r, LiteRow>,
        A: IntoArguments<LiteRows>,
    {
        match *self {}
    }

    fn query_scalar<O>(&self) -> QueryScalar<'_, LiteRows, O, NoArguments>
    where
        (O,): for<'r> FromRow<'r, LiteRow>,
    {
        match *self {}
    }

    fn query_scalar_with<'s, O, A>(&'s self, _: A) -> QueryScalar<'s, LiteRows, O, A>
    where
        (O,): for<'r> FromRow<'r, LiteRow>,
        A: IntoArguments<LiteRows>,
    {
        match *self {}
    }
}

impl ColumnIndex<Nothing> for usize {
    fn index(&self, nothing: &Nothing) -> Result<usize, Error> {
        match *nothing {}
    }
}

/// No values to bind: statements run elsewhere.
#[derive(Default)]
pub struct NoArguments;

impl Arguments for NoArguments {
    type Database = LiteRows;

    fn reserve(&mut self, _: usize, _: usize) {}

    fn add<'t, T>(&mut self, _: T) -> Result<(), BoxDynError>
    where
        T: Encode<'t, LiteRows> + Type<LiteRows>,
    {
        Err("there are rows here, and no statements".into())
    }

    fn len(&self) -> usize {
        0
    }
}
