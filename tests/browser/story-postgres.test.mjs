/** The same story on PostgreSQL: `BATON_TEST_POSTGRES` names the server (tools/with-postgres). */
process.env.BATON_TEST_ENGINE = 'postgres'
await import('./story.test.mjs')
