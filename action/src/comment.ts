// The comment on a pull request: one for each job, found again by a mark that is not shown, and then changed.
import * as github from '@actions/github';

/** GitHub takes no longer text. */
const MAX_LENGTH = 65_000;

/** Writes `body` as the comment of the job that `scope` names. Returns false when this is no pull request. */
export async function comment(token: string, scope: string, body: string): Promise<boolean> {
  const number = github.context.payload.pull_request?.number;
  if (number === undefined) return false;
  const { issues } = github.getOctokit(token).rest;
  const mark = `<!-- kache: ${scope.replaceAll('--', '__')} -->`;
  const text = `${mark}\n${body}`.slice(0, MAX_LENGTH);
  const octokit = github.getOctokit(token);
  const where = { ...github.context.repo, issue_number: number, per_page: 100 };
  const present = await octokit.paginate(octokit.rest.issues.listComments, where);
  const own = present.find((one) => one.body?.startsWith(mark) === true);
  if (own === undefined)
    await issues.createComment({ ...github.context.repo, issue_number: number, body: text });
  else await issues.updateComment({ ...github.context.repo, comment_id: own.id, body: text });
  return true;
}
